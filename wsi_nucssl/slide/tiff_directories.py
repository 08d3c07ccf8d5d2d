"""A TIFF's directories as they are stored: read with bounds, before any library sees them.

TIFF 6.0: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf; BigTIFF: https://www.awaresystems.be/imaging/tiff/bigtiff.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.errors import SlideError
from wsi_nucssl.slide.source import Source, as_file

SUB_IFDS: Final = 330
_MAX_DIRECTORIES: Final = 1 << 16
_MAX_ENTRIES: Final = 1 << 12
_SIZES: Final = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8,
}  # fmt: skip
"""Bytes of one value, by field type."""

UNSIGNED: Final = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
"""Field types that hold whole numbers without a sign: BYTE, SHORT, LONG, IFD, LONG8, IFD8."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One field: its type, how many values, and the byte where they begin."""

    kind: int
    count: int
    at: int

    @property
    def nbytes(self) -> int:
        """Bytes of all values; 0 for a type that nobody knows."""
        return _SIZES.get(self.kind, 0) * self.count


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory: where it lies, its bytes, and its fields by tag. `is_sub` for one that another names."""

    at: int
    nbytes: int
    entries: Mapping[int, Entry]
    is_sub: bool


@dataclass(frozen=True, slots=True)
class _Form:
    order: str
    entry_count: str
    entry: str
    offset: str

    @property
    def inline(self) -> int:
        return struct.calcsize(self.order + self.offset)


class Directories:
    """All directories of a TIFF, sub-directories included.

    Raises
    ------
    SlideError
        The header is none, directories form a loop, hold more than can be, or lie outside the file.
    """

    def __init__(self, source: Source) -> None:
        self.path, self.length = str(source.location), source.size
        self._file = as_file(source)
        self._form, first = self._header()
        self.is_big = self._form.inline == 8
        self.all = tuple(self._walk(first))

    def values(self, entry: Entry) -> NDArray[np.int64] | None:
        """The whole numbers of a field; None if it holds other things or numbers beyond 2⁶³."""
        kind = UNSIGNED.get(entry.kind)
        if kind is None:
            return None
        raw = np.frombuffer(self.read(entry.at, entry.nbytes), np.dtype(self._form.order + kind))
        return None if raw.size and int(raw.max()) >= 1 << 63 else raw.astype(np.int64)

    def read(self, offset: int, count: int) -> bytes:
        """Exactly the `count` bytes from `offset` on."""
        if offset < 0 or count < 0 or offset + count > self.length:
            raise self.damaged(
                f"it is truncated: {self.length} bytes, but its directories name bytes {offset} to {offset + count}"
            )
        self._file.seek(offset)
        return self._file.read(count)

    def damaged(self, what: str) -> SlideError:
        """The error for this file."""
        incomplete = what.startswith("it is truncated")
        remedy = (
            "Copy the slide again: its end is missing"
            if incomplete
            else "Copy or export it again: it is damaged"
        )
        return SlideError(what, path=self.path, remedy=remedy)

    def close(self) -> None:
        """Let go of the buffer; the source stays open."""
        self._file.close()

    def _header(self) -> tuple[_Form, int]:
        head = self.read(0, 8)
        order = "<" if head[:2] == b"II" else ">"
        if struct.unpack(order + "H", head[2:4])[0] == 42:
            return _Form(order, "H", "HHI4s", "I"), struct.unpack(order + "I", head[4:])[0]
        if struct.unpack(order + "HH", head[4:]) != (8, 0):
            raise self.damaged("its BigTIFF header is malformed")
        return _Form(order, "Q", "HHQ8s", "Q"), struct.unpack(order + "Q", self.read(8, 8))[0]

    def _walk(self, first: int) -> Iterator[Directory]:
        """Depth first; a directory that is met again is a loop."""
        seen: set[int] = set()
        waiting = [(first, False)]
        while waiting:
            at, is_sub = waiting.pop()
            if at in seen:
                raise self.damaged(f"its directories form a loop at byte {at}")
            if len(seen) >= _MAX_DIRECTORIES:
                raise self.damaged(f"it lists more than {_MAX_DIRECTORIES} directories")
            seen.add(at)
            directory, following = self._directory(at, is_sub)
            if following:
                waiting.append((following, is_sub))
            waiting += [(int(sub), True) for sub in self._subs(directory)]
            yield directory

    def _directory(self, at: int, is_sub: bool) -> tuple[Directory, int]:
        form = self._form
        if at < 8:
            raise self.damaged(f"its directory is said to lie at byte {at}, inside the header")
        if at >= self.length:
            raise self.damaged(f"it is truncated: {self.length} bytes, but a directory lies at byte {at}")
        width = struct.calcsize(form.order + form.entry_count)
        (count,) = struct.unpack(form.order + form.entry_count, self.read(at, width))
        if not 0 < count <= _MAX_ENTRIES:
            raise self.damaged(f"its directory at byte {at} says that it has {count} fields")
        entry = struct.Struct(form.order + form.entry)
        body = self.read(at + width, count * entry.size + form.inline)
        entries: dict[int, Entry] = {}
        for index, (tag, kind, number, value) in enumerate(entry.iter_unpack(body[: count * entry.size])):
            if tag in entries:
                raise self.damaged(f"its directory at byte {at} holds the field {tag} twice")
            entries[tag] = self._entry(tag, kind, number, value, at + width + index * entry.size)
        (following,) = struct.unpack(form.order + form.offset, body[count * entry.size :])
        return Directory(at, width + len(body), entries, is_sub), following

    def _entry(self, tag: int, kind: int, number: int, value: bytes, at: int) -> Entry:
        inline_at = at + struct.calcsize(self._form.order + self._form.entry) - self._form.inline
        found = Entry(kind, number, inline_at)
        if found.nbytes <= self._form.inline:
            return found
        (elsewhere,) = struct.unpack(self._form.order + self._form.offset, value)
        if elsewhere < 8 or elsewhere + found.nbytes > self.length:
            raise self.damaged(
                f"it is truncated, or its header is damaged: {self.length} bytes, but its field {tag} reaches"
                f" from byte {elsewhere} to {elsewhere + found.nbytes}"
            )
        return Entry(kind, number, elsewhere)

    def _subs(self, directory: Directory) -> list[int]:
        entry = directory.entries.get(SUB_IFDS)
        if entry is None:
            return []
        found = self.values(entry)
        if found is None:
            raise self.damaged(f"its SubIFDs are of the field type {entry.kind}, which holds no offsets")
        return [int(at) for at in found if at]
