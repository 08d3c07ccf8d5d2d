"""Where the stored tiles of a TIFF lie, checked before a byte of pixels is read."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Size
from wsi_nucssl.slide.readers import aperio
from wsi_nucssl.slide.readers.tiff_segments import Decoder, strict_decoder
from wsi_nucssl.slide.registry import DeclinedError
from wsi_nucssl.slide.source import Source, as_file

_CODECS = {1, 5, 7, 8, 32946, 33005, 34712, 50000, 50001, 50002, 52546}
"""None, LZW, JPEG, deflate (twice), JPEG 2000 (Aperio RGB, and standard), zstd, WebP, JPEG XL (twice)."""

_PHOTOMETRIC = {1, 2, 6}  # grey, RGB, YCbCr
_MAX_TILE_PX = 1 << 25
_FOREIGN = (
    "is_ndpi", "is_scn", "is_bif", "is_philips", "is_qpi", "is_ome", "is_imagej", "is_lsm",
    "is_stk", "is_avs",
)  # fmt: skip
_MALFORMED = (
    tifffile.TiffFileError,
    struct.error,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    ArithmeticError,
)
"""What tifffile raises, now or when a tag is first looked at, where directories hold nonsense."""

_TRUNCATED = "Copy the slide again: its end is missing"
_UNITS = {1: "none", 2: "inch", 3: "centimeter"}


def _unsupported(what: str, path: str) -> DeclinedError:
    """The TIFF is sound as far as we can tell, but another reader understands it better."""
    return DeclinedError(what, path=path, remedy="Leave the choice to ⟨reader⟩ auto")


@dataclass(frozen=True, slots=True, eq=False)
class TiffLevel:
    """One level: tile (row r, col c) is segment `r * cols + c`; `decode` turns its bytes into pixels."""

    size: Size
    tile: Size
    cols: int
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    decode: Decoder

    def range_of(self, index: int) -> tuple[int, int]:
        """First byte and number of bytes of a segment; none for a tile that was left out of the file."""
        return int(self.offsets[index]), int(self.counts[index])


@dataclass(frozen=True, slots=True)
class TiffLayout:
    """Levels finest first, associated images by page index, and the file's metadata."""

    levels: tuple[TiffLevel, ...]
    associated: Mapping[str, int]
    vendor: str
    properties: Mapping[str, str]


def parse_layout(source: Source) -> TiffLayout:
    """Read a TIFF's directories.

    Raises
    ------
    DeclinedError
        The pixels are stored in a way that this reader does not fully understand.
    SlideError
        The file is no TIFF, damaged or truncated.
    """
    path = str(source.location)
    try:
        with as_file(source) as file, tifffile.TiffFile(file) as tiff:
            return _layout(tiff, source.size, path)
    except _MALFORMED as error:
        raise SlideError(
            f"its TIFF directories cannot be read: {error}", path=path, remedy=_TRUNCATED
        ) from error


def _layout(tiff: tifffile.TiffFile, length: int, path: str) -> TiffLayout:
    foreign = [name[3:] for name in _FOREIGN if getattr(tiff, name)]
    if foreign:
        raise _unsupported(f"it is a TIFF of its own kind ({foreign[0]})", path)
    pages = [page.aspage() for page in tiff.pages]
    _check_last_directory(tiff, pages[-1], path)
    first = _scan(pages)
    from_aperio = aperio.is_aperio(first.description)
    level_pages = _pyramid(pages, first, from_aperio)
    levels = tuple(_level(page, length, path) for page in level_pages)
    _check_pyramid(levels, path)
    associated = {
        name: index
        for index, page in enumerate(pages)
        if from_aperio and not page.is_tiled and (name := aperio.associated_name(page.description, index))
    }
    return TiffLayout(
        levels, associated, "aperio" if from_aperio else "generic-tiff", _properties(first, from_aperio)
    )


def _check_last_directory(tiff: tifffile.TiffFile, last: tifffile.TiffPage, path: str) -> None:
    """The chain of directories ends with a zero; tifffile leaves out, without an error, what a cut file lacks."""
    form, file = tiff.tiff, tiff.filehandle
    file.seek(last.offset)
    (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    file.seek(last.offset + form.tagnosize + count * form.tagsize)
    (following,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
    if following:
        raise SlideError(
            f"it is truncated: the directory at byte {following} cannot be read", path=path, remedy=_TRUNCATED
        )


def _scan(pages: list[tifffile.TiffPage]) -> tifffile.TiffPage:
    """The page of the slide itself: the first, unless it says that it is a reduced copy of a larger one behind it."""
    first = pages[0]
    if not first.subfiletype & 1:
        return first
    larger = [
        page
        for page in pages[1:]
        if not page.subfiletype & 1 and page.is_tiled and page.imagewidth > first.imagewidth
    ]
    return larger[0] if larger else first


def _pyramid(
    pages: list[tifffile.TiffPage], first: tifffile.TiffPage, from_aperio: bool
) -> list[tifffile.TiffPage]:
    """The slide's levels, finest first. Of Aperio's focus stacks, plane behind plane, it is the first plane."""
    others = [page for page in pages if page is not first and _is_level(page, from_aperio)]
    if not from_aperio:
        return sorted([first, *others], key=lambda page: -page.imagewidth)
    levels = [first]
    for page in others:
        if page.imagewidth >= levels[-1].imagewidth:
            break
        levels.append(page)
    return levels


def _is_level(page: tifffile.TiffPage, from_aperio: bool) -> bool:
    return bool(page.is_tiled and (from_aperio or page.subfiletype & 1))


def _level(page: tifffile.TiffPage, length: int, path: str) -> TiffLevel:
    _check_understood(page, path)
    size = Size(page.imagewidth, page.imagelength)
    tile = (
        Size(page.tilewidth, page.tilelength)
        if page.is_tiled
        else Size(size.width, min(page.rowsperstrip, size.height))
    )
    if not size.area or not tile.area or tile.area > _MAX_TILE_PX:
        raise _unsupported(f"its stored tiles of {tile} px are too large to decode one by one", path)
    cols, rows = -(-size.width // tile.width), -(-size.height // tile.height)
    if len(page.dataoffsets) != cols * rows or len(page.databytecounts) != cols * rows:
        raise SlideError(
            f"it declares {size} px, which takes {cols * rows} tiles, but lists {len(page.dataoffsets)}",
            path=path,
            remedy="The header is damaged; copy the slide again",
        )
    offsets, counts = np.array(page.dataoffsets, np.int64), np.array(page.databytecounts, np.int64)
    end = int((offsets + counts).max())
    if end > length:
        raise SlideError(
            f"it is truncated: {length} bytes, but tiles reach to {end}", path=path, remedy=_TRUNCATED
        )
    return TiffLevel(size, tile, cols, offsets, counts, strict_decoder(page))


def _check_understood(page: tifffile.TiffPage, path: str) -> None:
    faults = {
        f"compression {page.compression}": page.compression not in _CODECS,
        f"photometric interpretation {page.photometric}": page.photometric not in _PHOTOMETRIC,
        "uncompressed YCbCr": page.photometric == 6 and page.compression != 7,
        f"{page.bitspersample} bits a sample": page.bitspersample != 8 or page.sampleformat != 1,
        f"{page.samplesperpixel} samples a pixel": page.samplesperpixel not in (1, 3, 4),
        "planes stored apart": page.planarconfig != 1 and page.samplesperpixel > 1,
        "premultiplied alpha": page.samplesperpixel == 4 and tuple(page.extrasamples) != (2,),
        "several planes": page.imagedepth != 1,
    }
    for fault, present in faults.items():
        if present:
            raise _unsupported(f"the fast TIFF reader does not read {fault}", path)


def _check_pyramid(levels: tuple[TiffLevel, ...], path: str) -> None:
    finest = levels[0].size
    for level in levels[1:]:
        ratio = finest.width / level.size.width
        if abs(finest.height / ratio - level.size.height) > 2:
            raise _unsupported(f"{level.size} px is no reduced copy of {finest} px", path)


def _properties(page: tifffile.TiffPage, from_aperio: bool) -> dict[str, str]:
    found = {"tiff.ImageDescription": page.description} if page.description else {}
    found |= aperio.parse_description(page.description) if from_aperio else {}
    for name in ("Make", "Model", "Software", "DateTime"):
        if name in page.tags:
            found[f"tiff.{name}"] = str(page.tags[name].value)
    for name in ("XResolution", "YResolution"):
        if name in page.tags:
            numerator, denominator = page.tags[name].value
            found[f"tiff.{name}"] = f"{numerator / denominator:.10g}" if denominator else "0"
    unit = page.tags.get("ResolutionUnit")
    found["tiff.ResolutionUnit"] = _UNITS.get(int(unit.value) if unit else 0, "none")
    return found
