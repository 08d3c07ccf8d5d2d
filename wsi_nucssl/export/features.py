"""Nuclei to the bytes of GeoJSON Features, by a compiled formatter: one pass, one buffer, no objects per
nucleus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.export.base import ExportContext
from wsi_nucssl.export.columns import COLUMNS, DECIMALS, TRUNCATED, TYPE_PROBABILITY
from wsi_nucssl.export.transform import COORDINATE_DECIMALS
from wsi_nucssl.nuclei.compiled import compiled
from wsi_nucssl.nuclei.table import Nuclei

_LONGEST_NUMBER: Final = 24
"""Sign, 19 digits of an int64, point, and room for a separator."""


class FeatureFormatter:
    """Formats tables of nuclei as comma-separated GeoJSON Features.

    Parameters
    ----------
    context : ExportContext
        What the nuclei stand for.
    """

    def __init__(self, context: ExportContext) -> None:
        self._context = context
        self._columns = (*COLUMNS, TYPE_PROBABILITY) if context.types else COLUMNS
        keys = [orjson.dumps(column.qupath) + b":" for column in self._columns]
        self._texts = _Texts.of(
            b'{"type":"Feature","id":"',
            b'","geometry":{"type":"Polygon","coordinates":[',
            b']},"properties":{"objectType":"detection","classification":',
            b',"measurements":{',
            b"," + orjson.dumps(TRUNCATED.qupath) + b":1",
            b"}}}",
            *(keys[:1] + [b"," + key for key in keys[1:]]),
            _look(context.classification.name, context.classification.color),
            *(_look(each.name, each.color) for each in context.types),
        )

    def format(self, nuclei: Nuclei) -> NDArray[np.uint8]:
        """The Features of a table, in its order, with commas and newlines between them."""
        per_nucleus = len(self._texts.letters) + 40 + len(self._columns) * _LONGEST_NUMBER
        room = (
            len(nuclei) * per_nucleus + (len(nuclei.ring_xy) + len(nuclei.ring_offsets)) * 2 * _LONGEST_NUMBER
        )
        buffer = np.empty(room, np.uint8)
        end = _format(
            buffer,
            self._texts.letters,
            self._texts.ends,
            self._context.ids(nuclei),
            self._context.transform.centi_px(nuclei.ring_xy),
            nuclei.ring_offsets,
            nuclei.polygon_offsets,
            self._measured(nuclei),
            nuclei.truncated,
            nuclei.type_id if self._context.types else np.full(len(nuclei), -1, np.int16),
        )
        return buffer[:end]

    def _measured(self, nuclei: Nuclei) -> NDArray[np.int64]:
        """The values of `_columns`, in steps of 10^−`DECIMALS`."""
        measured = self._context.measured(nuclei)
        return (
            np.column_stack([measured, self._context.type_probability(nuclei)])
            if self._context.types
            else measured
        )


def _look(name: str, color: tuple[int, int, int]) -> bytes:
    """A class of QuPath's."""
    return orjson.dumps({"name": name, "color": color})


@dataclass(frozen=True, slots=True)
class _Texts:
    """The constant pieces of a Feature, end to end: uint8 letters and where each piece ends."""

    letters: NDArray[np.uint8]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, *pieces: bytes) -> _Texts:
        return cls(np.frombuffer(b"".join(pieces), np.uint8), np.cumsum([len(piece) for piece in pieces]))


_HEAD, _GEOMETRY, _PROPERTIES, _MEASUREMENTS, _TRUNCATED, _TAIL, _FIRST_KEY = range(7)
_COMMA, _POINT, _MINUS, _ZERO, _OPEN, _CLOSE, _NEWLINE = (ord(letter) for letter in ",.-0[]\n")
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


@compiled
def _format(
    buffer: NDArray[np.uint8],
    letters: NDArray[np.uint8],
    ends: NDArray[np.int64],
    ids: NDArray[np.uint8],
    vertices: NDArray[np.int64],
    ring_offsets: NDArray[np.int64],
    polygon_offsets: NDArray[np.int64],
    measured: NDArray[np.int64],
    truncated: NDArray[np.bool_],
    type_id: NDArray[np.int16],
) -> int:
    end = 0
    untyped = _FIRST_KEY + measured.shape[1]  # the class of nuclei without a type; those of the types follow
    for index in range(len(ids)):
        if index:
            buffer[end], buffer[end + 1] = _COMMA, _NEWLINE
            end += 2
        end = _put_text(buffer, end, letters, ends, _HEAD)
        end = _put_id(buffer, end, ids[index])
        end = _put_text(buffer, end, letters, ends, _GEOMETRY)
        for ring in range(polygon_offsets[index], polygon_offsets[index + 1]):
            end = _put_ring(buffer, end, vertices[ring_offsets[ring] : ring_offsets[ring + 1]])
        end = _put_text(buffer, end - 1, letters, ends, _PROPERTIES)  # over the last ring's comma
        end = _put_text(buffer, end, letters, ends, untyped + 1 + type_id[index])
        end = _put_text(buffer, end, letters, ends, _MEASUREMENTS)
        for column in range(measured.shape[1]):
            end = _put_text(buffer, end, letters, ends, _FIRST_KEY + column)
            end = _put_number(buffer, end, measured[index, column], DECIMALS)
        if truncated[index]:
            end = _put_text(buffer, end, letters, ends, _TRUNCATED)
        end = _put_text(buffer, end, letters, ends, _TAIL)
    return end


@compiled
def _put_text(
    buffer: NDArray[np.uint8], end: int, letters: NDArray[np.uint8], ends: NDArray[np.int64], piece: int
) -> int:
    first = ends[piece - 1] if piece else 0
    for position in range(first, ends[piece]):
        buffer[end] = letters[position]
        end += 1
    return end


@compiled
def _put_id(buffer: NDArray[np.uint8], end: int, identifier: NDArray[np.uint8]) -> int:
    for position in range(16):
        if position in (4, 6, 8, 10):
            buffer[end] = _MINUS
            end += 1
        buffer[end] = _HEX[identifier[position] >> 4]
        buffer[end + 1] = _HEX[identifier[position] & 15]
        end += 2
    return end


@compiled
def _put_ring(buffer: NDArray[np.uint8], end: int, vertices: NDArray[np.int64]) -> int:
    """`[[x,y],…],` with its trailing comma."""
    buffer[end] = _OPEN
    end += 1
    for vertex in range(len(vertices)):
        buffer[end] = _OPEN
        end = _put_number(buffer, end + 1, vertices[vertex, 0], COORDINATE_DECIMALS)
        buffer[end] = _COMMA
        end = _put_number(buffer, end + 1, vertices[vertex, 1], COORDINATE_DECIMALS)
        buffer[end], buffer[end + 1] = _CLOSE, _COMMA
        end += 2
    buffer[end - 1], buffer[end] = _CLOSE, _COMMA
    return end + 1


@compiled
def _put_number(buffer: NDArray[np.uint8], end: int, value: int, decimals: int) -> int:
    """`value` · 10^−decimals, without trailing zeros."""
    if value < 0:
        buffer[end] = _MINUS
        end += 1
        value = -value
    while decimals and value % 10 == 0:
        value //= 10
        decimals -= 1
    digits = 1
    rest = value // 10
    while rest:
        digits += 1
        rest //= 10
    digits = max(digits, decimals + 1)
    last = end + digits + (decimals > 0)
    position = last
    for digit in range(digits):
        if digit == decimals and decimals:
            position -= 1
            buffer[position] = _POINT
        position -= 1
        buffer[position] = _ZERO + value % 10
        value //= 10
    return last
