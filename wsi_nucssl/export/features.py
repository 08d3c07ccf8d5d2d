"""Nuclei to the bytes of GeoJSON Features, by a compiled formatter: one pass, one buffer, no objects per
nucleus."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.nuclei.compiled import compiled
from wsi_nucssl.nuclei.table import MEASUREMENTS, Nuclei

COORDINATE_DECIMALS = 2
MEASUREMENT_DECIMALS = 4
TRUNCATED = "Truncated at seam"
"""Measurement, 1, of nuclei that reach farther than extraction was allowed to look; absent from all
others."""

_NAMES = {
    "area": "Area µm^2",
    "perimeter": "Perimeter µm",
    "circularity": "Circularity",
    "major_axis": "Major axis µm",
    "minor_axis": "Minor axis µm",
    "eccentricity": "Eccentricity",
    "solidity": "Solidity",
    "probability": "Mean probability",
    "hematoxylin_od": "Hematoxylin OD mean",
}
MEASUREMENT_NAMES = tuple(_NAMES[column] for column in MEASUREMENTS)
"""Measurements as QuPath shows them, in the order of `table.MEASUREMENTS`."""

_LONGEST_NUMBER = 24  # sign, 19 digits of an int64, point, and room for a separator
_LEAST_SCALE = 0.02  # neighbouring pixel corners then stay apart in 2 decimals


@dataclass(frozen=True, slots=True)
class CanvasTransform:
    """Where the canvas lies on the slide: output (x, y) = canvas (x, y) · scale − origin, in level-0 px.

    Attributes
    ----------
    scale_x, scale_y : level-0 px per canvas px.
    origin_x, origin_y : level-0 position that becomes (0, 0): the bounds' corner for origin "qupath".

    Raises
    ------
    UsageError : the scale is so small that two decimals cannot keep pixels apart.
    """

    scale_x: float
    scale_y: float
    origin_x: float = 0.0
    origin_y: float = 0.0

    def __post_init__(self) -> None:
        if not (_LEAST_SCALE <= self.scale_x < 1e6 and _LEAST_SCALE <= self.scale_y < 1e6):
            raise UsageError(
                f"a canvas of {self.scale_x} × {self.scale_y} level-0 px per px cannot be written",
                remedy=f"Work at a resolution of at least {_LEAST_SCALE} level-0 px per px",
            )

    def centi_px(self, xy: NDArray[np.int32]) -> NDArray[np.int64]:
        """Canvas vertices (m, 2) as level-0 coordinates in 0.01 px, rounded half up; int64 (m, 2)."""
        level0 = xy * np.array([self.scale_x, self.scale_y]) - np.array([self.origin_x, self.origin_y])
        rounded: NDArray[np.int64] = np.floor(level0 * 10**COORDINATE_DECIMALS + 0.5).astype(np.int64)
        return rounded


@dataclass(frozen=True, slots=True)
class Classification:
    """QuPath's class of the detections: a name and an RGB colour, without which QuPath refuses to read."""

    name: str = "Nucleus"
    color: tuple[int, int, int] = (200, 0, 0)


class FeatureFormatter:
    """Formats tables of nuclei as comma-separated GeoJSON Features.

    Parameters
    ----------
    transform : from canvas px to level-0 px.
    mpp : µm per canvas px.
    identity : what tells this slide from others; ids are uuid5 of it and the nucleus's seed.
    classification : of every nucleus.
    """

    def __init__(
        self, transform: CanvasTransform, mpp: Mpp, identity: str, classification: Classification
    ) -> None:
        self._transform = transform
        self._namespace = uuid.uuid5(uuid.NAMESPACE_URL, identity)
        unit = {"area": mpp.x * mpp.y, "perimeter": mpp.mean, "major_axis": mpp.mean, "minor_axis": mpp.mean}
        self._units = np.array([unit.get(column, 1.0) for column in MEASUREMENTS])
        look = orjson.dumps({"name": classification.name, "color": classification.color})
        keys = [orjson.dumps(name) + b":" for name in MEASUREMENT_NAMES]
        self._texts = _Texts.of(
            b'{"type":"Feature","id":"',
            b'","geometry":{"type":"Polygon","coordinates":[',
            b']},"properties":{"objectType":"detection","classification":' + look + b',"measurements":{',
            b"," + orjson.dumps(TRUNCATED) + b":1",
            b"}}}",
            *(keys[:1] + [b"," + key for key in keys[1:]]),
        )

    def format(self, nuclei: Nuclei) -> NDArray[np.uint8]:
        """The Features of a table, in its order, with commas and newlines between them."""
        measured = nuclei.measurements.astype(np.float64) * self._units
        per_nucleus = len(self._texts.letters) + 40 + len(MEASUREMENTS) * _LONGEST_NUMBER
        room = (
            len(nuclei) * per_nucleus + (len(nuclei.ring_xy) + len(nuclei.ring_offsets)) * 2 * _LONGEST_NUMBER
        )
        buffer = np.empty(room, np.uint8)
        end = _format(
            buffer,
            self._texts.letters,
            self._texts.ends,
            seed_ids(self._namespace, nuclei.seed_xy),
            self._transform.centi_px(nuclei.ring_xy),
            nuclei.ring_offsets,
            nuclei.polygon_offsets,
            np.rint(measured * 10**MEASUREMENT_DECIMALS).astype(np.int64),
            nuclei.truncated,
        )
        return buffer[:end]


def seed_ids(namespace: uuid.UUID, seed_xy: NDArray[np.int64]) -> NDArray[np.uint8]:
    """`uuid.uuid5(namespace, "x,y")` of each seed (n, 2), as uint8 (n, 16)."""
    base = hashlib.sha1(namespace.bytes, usedforsecurity=False)
    digests = bytearray()
    for x, y in seed_xy.tolist():
        one = base.copy()
        one.update(b"%d,%d" % (x, y))
        digests += one.digest()
    ids = np.frombuffer(digests, np.uint8).reshape(-1, 20)[:, :16].copy()
    ids[:, 6] = ids[:, 6] & 0x0F | 0x50
    ids[:, 8] = ids[:, 8] & 0x3F | 0x80
    return ids


@dataclass(frozen=True, slots=True)
class _Texts:
    """The constant pieces of a Feature, end to end: uint8 letters and where each piece ends."""

    letters: NDArray[np.uint8]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, *pieces: bytes) -> _Texts:
        return cls(np.frombuffer(b"".join(pieces), np.uint8), np.cumsum([len(piece) for piece in pieces]))


_HEAD, _GEOMETRY, _PROPERTIES, _TRUNCATED, _TAIL, _FIRST_KEY = range(6)
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
) -> int:
    end = 0
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
        for column in range(measured.shape[1]):
            end = _put_text(buffer, end, letters, ends, _FIRST_KEY + column)
            end = _put_number(buffer, end, measured[index, column], MEASUREMENT_DECIMALS)
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
