"""The objects of a long JSON list, one at a time: memory is that of the longest object, whatever the file's size.

A compiled scanner finds where the objects begin and end; each is then parsed alone.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.files import open_regular
from wsi_nucssl.nuclei.compiled import compiled

CHUNK: Final = 1 << 20
LARGEST_OBJECT: Final = 1 << 26
"""Bytes of one object; more is refused, since parsing takes ten times as much memory."""
LARGEST_TEXT: Final = 1 << 34
"""Bytes of a file when it is unpacked."""
_FEATURES: Final = re.compile(rb'"features"\s*:\s*$')
_BOM: Final = b"\xef\xbb\xbf"
_DEPTH, _IN_STRING, _ESCAPED = 0, 1, 2


def chunks(path: Path) -> Iterator[bytes]:
    """The text of a .json or .json.gz in pieces, without a byte order mark.

    Raises
    ------
    InputError
        It is no regular file.
    OSError, EOFError, zlib.error
        It cannot be read or unpacked.
    ValueError
        It is too large when unpacked.
    """
    with open_regular(path) as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
        total, first = 0, True
        while piece := file.read(CHUNK):
            total += len(piece)
            if total > LARGEST_TEXT:
                raise ValueError(f"more than {LARGEST_TEXT >> 30} GiB of text")
            yield piece.removeprefix(_BOM) if first else piece
            first = False


@compiled
def _brackets(  # pragma: no cover
    text: NDArray[np.uint8], state: NDArray[np.int64], places: NDArray[np.int64], depths: NDArray[np.int64]
) -> int:
    """Places of brackets outside strings at depth < 4, and the depth on their outer side; returns their number."""
    found = 0
    depth, in_string, escaped = state[0], state[1], state[2]
    for i in range(text.size):
        c = text[i]
        if in_string:
            if escaped:
                escaped = 0
            elif c == 92:
                escaped = 1
            elif c == 34:
                in_string = 0
        elif c == 34:
            in_string = 1
        elif c == 123 or c == 91:
            if depth < 3:
                places[found], depths[found] = i, depth
                found += 1
            depth += 1
        elif c == 125 or c == 93:
            depth -= 1
            if depth < 3:
                places[found], depths[found] = i, depth
                found += 1
    state[0], state[1], state[2] = depth, in_string, escaped
    return found


class ObjectStream:
    """The objects of the file's list, or of the member "features" of its object; `envelope` is all the rest.

    Attributes
    ----------
    envelope : Any
        The file's content without the objects, known when they have been gone through; None for a bare list.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.envelope: Any = None
        self._outer = bytearray()
        self._at: int | None = None  # depth of the objects that are asked for

    @property
    def listed(self) -> bool:
        """Whether there was a list of objects."""
        return self._at is not None

    def __iter__(self) -> Iterator[Any]:
        """Each object, parsed.

        Raises
        ------
        ValueError
            The file is no JSON, is cut off, or an object is too large.
        """
        return map(orjson.loads, self._texts())

    def texts(self) -> Iterator[bytearray]:
        """Each object as its text, not parsed; otherwise as an iteration."""
        return self._texts()

    def read_envelope(self, enough: re.Pattern[bytes]) -> Any:
        """The rest alone; no further than the list where `enough` stands before it."""
        for _ in self._texts():
            if enough.search(self._outer):
                closing = b"]" if self._at == 1 else b"]}"
                return orjson.loads(self._outer + closing)
        return self.envelope

    def _texts(self) -> Iterator[bytearray]:
        state: NDArray[np.int64] = np.zeros(3, np.int64)
        held, ended = bytearray(), False
        for piece in chunks(self.path):
            text = np.frombuffer(piece, np.uint8)
            places, depths = np.empty(len(piece), np.int64), np.empty(len(piece), np.int64)
            count = _brackets(text, state, places, depths)
            start = 0
            for place, depth in zip(places[:count].tolist(), depths[:count].tolist(), strict=True):
                char = piece[place]
                if depth < 0:
                    raise ValueError("a bracket too many")
                if self._at is None:
                    if char == 91 and (depth == 0 or (depth == 1 and self._is_features(piece[start:place]))):
                        self._outer += piece[start : place + 1]
                        self._at, start = depth + 1, place + 1
                elif depth == self._at and not ended:
                    if char in b"{[":
                        self._check_between(piece[start:place], first=not self._seen)
                        start = place
                    else:
                        held += piece[start : place + 1]
                        start = place + 1
                        self._seen = True
                        yield held
                        held = bytearray()
                elif depth == self._at - 1 and not ended:
                    if piece[start:place].strip() or self._between.strip():
                        raise ValueError("something in the list is no object")
                    ended, start = True, place
            rest = piece[start:]
            if self._at is None or ended:
                self._outer += rest
            elif state[_DEPTH] > self._at:
                held += rest
            else:
                self._between += rest
            if max(len(held), len(self._outer), len(self._between)) > LARGEST_OBJECT:
                raise ValueError(f"one object takes more than {LARGEST_OBJECT >> 20} MiB")
        if state[_DEPTH] or state[_IN_STRING]:
            raise ValueError("the file is cut off")
        self.envelope = orjson.loads(self._outer)

    _seen = False
    _between = b""

    def _is_features(self, before: bytes) -> bool:
        return bool(_FEATURES.search(bytes(self._outer[-64:]) + before[-64:]))

    def _check_between(self, between: bytes, *, first: bool) -> None:
        between, self._between = (self._between + between).strip(), b""
        if between != (b"" if first else b","):
            raise ValueError("something between the objects of the list is no comma")
