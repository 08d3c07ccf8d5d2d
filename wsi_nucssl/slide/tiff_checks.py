"""What a TIFF says of itself, held against the file: before memory is taken and before any library opens it.

Only what cannot be is refused here. A TIFF that is sound but of a kind that a reader does not know passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.errors import SlideError
from wsi_nucssl.slide.registry import TIFF_MAGIC, starts_with
from wsi_nucssl.slide.source import Source
from wsi_nucssl.slide.tiff_directories import UNSIGNED, Directories, Directory

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_COUNTS = 273, 277, 278, 279
_PLANAR, _PREDICTOR, _COLOR_MAP = 284, 317, 320
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_EXTRA, _SAMPLE_FORMAT, _JPEG_TABLES, _IMAGE_DEPTH, _TILE_DEPTH = 338, 339, 347, 32997, 32998
_SHORT_OR_LONG: Final = (3, 4, 16)
_TYPES: Final = {
    _WIDTH: _SHORT_OR_LONG, _HEIGHT: _SHORT_OR_LONG, _BITS: (3,), _COMPRESSION: (3,), _PHOTOMETRIC: (3,),
    _STRIP_OFFSETS: _SHORT_OR_LONG, _SAMPLES: (3,), _ROWS_PER_STRIP: _SHORT_OR_LONG, _STRIP_COUNTS: _SHORT_OR_LONG,
    _PLANAR: (3,), _PREDICTOR: (3,), _COLOR_MAP: (3,), _TILE_WIDTH: _SHORT_OR_LONG, _TILE_HEIGHT: _SHORT_OR_LONG,
    _TILE_OFFSETS: (4, 16), _TILE_COUNTS: _SHORT_OR_LONG, _EXTRA: (1, 3), _SAMPLE_FORMAT: (3,), _JPEG_TABLES: (1, 7),
    _IMAGE_DEPTH: _SHORT_OR_LONG, _TILE_DEPTH: _SHORT_OR_LONG,
}  # fmt: skip
"""Field types that the specification allows."""

_SINGLE: Final = (
    _WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _ROWS_PER_STRIP, _PLANAR, _PREDICTOR, _TILE_WIDTH,
    _TILE_HEIGHT, _IMAGE_DEPTH, _TILE_DEPTH,
)  # fmt: skip
_NAMES: Final = {
    _WIDTH: "ImageWidth", _HEIGHT: "ImageLength", _BITS: "BitsPerSample", _COMPRESSION: "Compression",
    _PHOTOMETRIC: "PhotometricInterpretation", _STRIP_OFFSETS: "StripOffsets", _SAMPLES: "SamplesPerPixel",
    _ROWS_PER_STRIP: "RowsPerStrip", _STRIP_COUNTS: "StripByteCounts", _PLANAR: "PlanarConfiguration",
    _PREDICTOR: "Predictor", _COLOR_MAP: "ColorMap", _TILE_WIDTH: "TileWidth", _TILE_HEIGHT: "TileLength",
    _TILE_OFFSETS: "TileOffsets", _TILE_COUNTS: "TileByteCounts", _EXTRA: "ExtraSamples",
    _SAMPLE_FORMAT: "SampleFormat", _JPEG_TABLES: "JPEGTables", _IMAGE_DEPTH: "ImageDepth",
    _TILE_DEPTH: "TileDepth",
}  # fmt: skip

_LEGAL: Final = {_PLANAR: (1, 2), _PREDICTOR: (1, 2, 3, *range(34892, 34896))}
_COLOURS: Final = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""Samples that a photometric interpretation needs: grey, RGB, palette, CMYK, YCbCr, CIE L*a*b*."""

_OWN_OFFSETS: Final = (65420, 34412)
"""Hamamatsu's NDPI stores 64-bit offsets in its own way, Zeiss's LSM byte counts before compression."""

_MAX_SIDE_PX: Final = 1 << 24
_MAX_TILE_SIDE_PX: Final = 1 << 16
_TILE_STEP_PX: Final = 4
"""The specification asks for multiples of 16; some writers take hundreds."""
_SMALL_TILE_PX: Final = 4096
_MAX_BITS: Final = 128
_MAX_HOLE: Final = 16
"""Too few bytes to be a directory that was left behind, or anything else that a writer puts between tiles."""

_ENOUGH_HOLES: Final = 3
_MAX_SAMPLES: Final = 1 << 12

is_tiff = starts_with(*TIFF_MAGIC)


def check_tiff(source: Source) -> None:
    """Refuse a TIFF whose directories contradict themselves or the file.

    Directories may not form a loop or lie outside the file; fields have a type of the specification and as many
    values as they need; sizes, tiles and the tables of tiles agree; all tiles lie inside the file, and none begins
    within another or within a directory.

    Raises
    ------
    SlideError
        It is damaged; the message names the field.
    """
    directories = Directories(source)
    try:
        if any(tag in directory.entries for directory in directories.all[:1] for tag in _OWN_OFFSETS):
            return
        segments = [found for one in directories.all if (found := _Checked(directories, one).segments())]
        _check_disjoint(directories, segments)
    finally:
        directories.close()


@dataclass(frozen=True, slots=True)
class _Segments:
    """Where the tiles or strips of one directory begin, and their bytes; those left out of the file are left out."""

    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]


class _Checked:
    """One directory, field by field."""

    def __init__(self, file: Directories, directory: Directory) -> None:
        self._file, self._directory = file, directory
        self._found = {
            tag: self._values(tag) for tag in _TYPES if tag in directory.entries and tag != _JPEG_TABLES
        }
        for tag in _SINGLE:
            if tag in self._found and self._found[tag].size != 1:
                raise self._fault(f"{_NAMES[tag]} has {self._found[tag].size} values instead of one")

    def segments(self) -> _Segments | None:
        """The tiles of the directory; None for one that holds no image."""
        if _WIDTH not in self._found and _HEIGHT not in self._found:
            return None
        self._check_samples()
        self._check_jpeg_tables()
        tile, names = self._tile()
        return self._checked_tables(tile, *names)

    def _values(self, tag: int) -> NDArray[np.int64]:
        entry = self._directory.entries[tag]
        if entry.kind not in _TYPES[tag]:
            raise self._fault(f"{_NAMES[tag]} is of the field type {entry.kind}, which it cannot be")
        if not entry.count:
            raise self._fault(f"{_NAMES[tag]} has no value")
        found = self._file.values(entry) if entry.kind in UNSIGNED else None
        if found is None:
            raise self._fault(f"{_NAMES[tag]} holds a number beyond 2⁶³")
        return found

    def _one(self, tag: int, default: int | None = None) -> int:
        if tag in self._found:
            return int(self._found[tag][0])
        if default is None:
            raise self._fault(f"{_NAMES[tag]} is missing")
        return default

    def _check_samples(self) -> None:
        samples, bits = self._one(_SAMPLES, 1), self._found.get(_BITS, np.array([1]))
        if not 0 < samples <= _MAX_SAMPLES:
            raise self._fault(f"SamplesPerPixel is {samples}")
        if bits.size not in (1, samples):
            raise self._fault(f"BitsPerSample has {bits.size} values for {samples} samples a pixel")
        if not 0 < int(bits.min()) <= int(bits.max()) <= _MAX_BITS:
            raise self._fault(f"BitsPerSample is {', '.join(map(str, bits[:8]))}")
        for tag, legal in _LEGAL.items():
            if tag in self._found and self._one(tag) not in legal:
                raise self._fault(f"{_NAMES[tag]} is {self._one(tag)}, which it cannot be")
        formats = self._found.get(_SAMPLE_FORMAT)
        if formats is not None and (formats.size not in (1, samples) or not 0 < int(formats.max()) <= 6):
            raise self._fault("SampleFormat is none of the specification, or not one for each sample")
        self._check_colours(samples)

    def _check_colours(self, samples: int) -> None:
        """Photometric interpretation and ExtraSamples explain all samples of a pixel."""
        extra = self._found[_EXTRA].size if _EXTRA in self._found else 0
        photometric = self._one(_PHOTOMETRIC, 1)
        needed = _COLOURS.get(photometric, 1)
        if needed + extra > samples or (needed == 1 and photometric in _COLOURS and 1 + extra != samples):
            raise self._fault(
                f"PhotometricInterpretation {photometric} and {extra} ExtraSamples do not make {samples} samples a"
                " pixel"
            )
        if _BITS not in self._found and needed > 1:
            raise self._fault("BitsPerSample is missing")

    def _check_jpeg_tables(self) -> None:
        entry = self._directory.entries.get(_JPEG_TABLES)
        if entry is None:
            return
        if entry.kind not in _TYPES[_JPEG_TABLES]:
            raise self._fault(f"JPEGTables is of the field type {entry.kind}, which it cannot be")
        tables = self._file.read(entry.at, entry.nbytes)
        if not (tables.startswith(b"\xff\xd8") and tables.rstrip(b"\0").endswith(b"\xff\xd9")):
            raise self._fault("JPEGTables is no JPEG stream from its start to its end")

    def _tile(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(width, height) of a tile or strip, and the tags of the tables that list them."""
        width, height = self._one(_WIDTH), self._one(_HEIGHT)
        for name, side in (("ImageWidth", width), ("ImageLength", height)):
            if not 0 < side <= _MAX_SIDE_PX:
                raise self._fault(f"{name} is {side} px")
        if _TILE_OFFSETS in self._found or _TILE_WIDTH in self._found:
            tile = self._one(_TILE_WIDTH), self._one(_TILE_HEIGHT)
            for name, side, whole in zip(("TileWidth", "TileLength"), tile, (width, height), strict=True):
                too_large = side > min(_MAX_TILE_SIDE_PX, max(_SMALL_TILE_PX, 2 * whole))
                if too_large or not side or side % _TILE_STEP_PX:
                    raise self._fault(f"{name} is {side} px for an image of {width} × {height} px")
            return tile, (_TILE_OFFSETS, _TILE_COUNTS)
        rows = self._one(_ROWS_PER_STRIP, height)
        if not rows:
            raise self._fault("RowsPerStrip is 0")
        return (width, min(rows, height)), (_STRIP_OFFSETS, _STRIP_COUNTS)

    def _checked_tables(self, tile: tuple[int, int], offsets_tag: int, counts_tag: int) -> _Segments:
        if counts_tag not in self._found and self._one(_COMPRESSION, 1) == 1:
            raise self._fault(f"{_NAMES[counts_tag]} is missing")
        for tag in (offsets_tag, counts_tag):
            if tag not in self._found:
                raise self._fault(f"{_NAMES[tag]} is missing")
        offsets, counts = self._found[offsets_tag], self._found[counts_tag]
        self._check_number(tile, offsets_tag, offsets.size, counts_tag, counts.size)
        self._check_places(offsets, counts, counts_tag)
        there = counts > 0
        if self._one(_COMPRESSION, 1) == 1:
            self._check_end_to_end(offsets[there], counts[there])
        return _Segments(offsets[there], counts[there])

    def _check_number(self, tile: tuple[int, int], *tables: int) -> None:
        width, height = self._one(_WIDTH), self._one(_HEIGHT)
        depth = -(-self._one(_IMAGE_DEPTH, 1) // max(1, self._one(_TILE_DEPTH, 1)))
        planes = self._one(_SAMPLES, 1) if self._one(_PLANAR, 1) == 2 else 1
        wanted = -(-width // tile[0]) * -(-height // tile[1]) * depth * planes
        for tag, size in zip(tables[::2], tables[1::2], strict=True):
            if size != wanted:
                raise self._fault(
                    f"{width} × {height} px take {wanted} tiles or strips of {tile[0]} × {tile[1]} px,"
                    f" but {_NAMES[tag]} lists {size}"
                )

    def _check_places(self, offsets: NDArray[np.int64], counts: NDArray[np.int64], counts_tag: int) -> None:
        length = self._file.length
        beyond = (offsets > length) | (counts > length) | (offsets + np.minimum(counts, length) > length)
        if beyond.any():
            first = int(np.argmax(beyond))
            end = int(offsets[first]) + int(counts[first])
            raise self._file.damaged(
                f"it is truncated, or its header is damaged: {length} bytes, but tile {first} reaches to {end}"
            )
        empty = (counts == 0) & (offsets != 0)
        if empty.any():
            raise self._fault(
                f"{_NAMES[counts_tag]} is 0 for tile {int(np.argmax(empty))}, which has an offset"
            )
        in_header = (counts != 0) & (offsets < 8)
        if in_header.any():
            raise self._fault(f"tile {int(np.argmax(in_header))} is said to begin inside the header")

    def _check_end_to_end(self, offsets: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Where tiles without compression lie end to end, but for a few bytes at one place, an offset was changed.

        Nothing else would tell: the bytes there are pixels as well as any.
        """
        order = np.argsort(offsets, kind="stable")
        holes = np.diff(offsets[order]) - counts[order][:-1]
        odd = np.flatnonzero(holes)
        if holes.size >= _ENOUGH_HOLES and odd.size == 1 and 0 < holes[odd[0]] < _MAX_HOLE:
            raise self._fault(
                f"its tiles lie end to end, but tile {order[odd[0]]} ends {holes[odd[0]]} bytes before the next"
            )

    def _fault(self, what: str) -> SlideError:
        return self._file.damaged(f"its directory at byte {self._directory.at} is damaged: {what}")


def _check_disjoint(file: Directories, segments: list[_Segments]) -> None:
    """No tile reaches into another one or into a directory; two may be the very same bytes, if none are left over."""
    tiles = np.concatenate(
        [np.stack([one.offsets, one.offsets + one.counts], 1) for one in segments or _NONE]
    )
    spans, uses = np.unique(np.concatenate([_own_spans(file), tiles]), axis=0, return_counts=True)
    reached = np.maximum.accumulate(spans[:, 1])
    overlapping = np.flatnonzero(spans[1:, 0] < reached[:-1])
    if overlapping.size:
        (start, end), before = spans[overlapping[0] + 1], reached[overlapping[0]]
        raise file.damaged(
            f"its tables are damaged: what lies at bytes {start} to {end} begins before byte {before}, where"
            " another tile or directory ends"
        )
    _check_shared(file, spans, uses)


def _check_shared(file: Directories, spans: NDArray[np.int64], uses: NDArray[np.int64]) -> None:
    """Where two tiles share their bytes, and as many bytes belong to none, an offset was changed."""
    sizes = spans[:, 1] - spans[:, 0]
    gaps = np.append(spans[1:, 0], file.length) - spans[:, 1]
    shared = np.unique(sizes[uses > 1])
    lost = shared[np.isin(shared, gaps) | np.isin(shared + 1, gaps)]
    if lost.size:
        start, end = spans[(uses > 1) & (sizes == lost[0])][0]
        raise file.damaged(
            f"its tables are damaged: two tiles lie at bytes {start} to {end}, and as many bytes belong to none"
        )


_NONE: Final = [_Segments(np.empty(0, np.int64), np.empty(0, np.int64))]


def _own_spans(file: Directories) -> NDArray[np.int64]:
    """The header, the directories, and the values that lie outside them."""
    spans = {(0, 16 if file.is_big else 8)}
    for one in file.all:
        end = one.at + one.nbytes
        spans.add((one.at, end))
        fields = [field for field in one.entries.values() if field.nbytes and not one.at <= field.at < end]
        spans |= {(field.at, field.at + field.nbytes) for field in fields}
    return _merged(np.array(sorted(spans), np.int64))


def _merged(spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """Spans in order that do not overlap: values may be shared by fields."""
    reached = np.maximum.accumulate(spans[:, 1])
    first = np.append(True, spans[1:, 0] >= reached[:-1])
    return np.stack([spans[first, 0], np.append(reached[:-1][first[1:]], reached[-1])], 1)
