"""Where the stored tiles of a TIFF lie, checked before a byte of pixels is read."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import tifffile

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Size
from wsi_nucssl.photometric import RGB_COLOUR, Encoding, UnconvertibleError
from wsi_nucssl.slide.icc import icc_properties
from wsi_nucssl.slide.part import ANY_PART, Part, PartChoice
from wsi_nucssl.slide.readers import aperio
from wsi_nucssl.slide.readers.tiff_encoding import encoding_of, in_words, is_subsampled
from wsi_nucssl.slide.readers.tiff_focus import sharpest
from wsi_nucssl.slide.readers.tiff_level import TiffLevel
from wsi_nucssl.slide.readers.tiff_range import with_real_range
from wsi_nucssl.slide.readers.tiff_segments import strict_decoder
from wsi_nucssl.slide.readers.tiff_selection import FOREIGN, Planes, select_images
from wsi_nucssl.slide.readers.tiff_ycbcr import subsampled_decoder
from wsi_nucssl.slide.registry import DeclinedError
from wsi_nucssl.slide.source import Source, as_file

_JPEG, _APERIO_YCBCR_J2K = 7, 33003
MAX_TILE_PX = 1 << 25
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


@dataclass(frozen=True, slots=True)
class TiffLayout:
    """Levels finest first, associated images by page index, and the file's metadata."""

    levels: tuple[TiffLevel, ...]
    associated: Mapping[str, int]
    vendor: str
    properties: Mapping[str, str]
    part: Part


def parse_layout(source: Source, choice: PartChoice = ANY_PART, max_tile_px: int = MAX_TILE_PX) -> TiffLayout:
    """Read a TIFF's directories.

    Parameters
    ----------
    source : Source
        The file.
    choice : PartChoice
        Which of its scenes and focus planes.
    max_tile_px : int
        Stored tiles and strips of more pixels are declined.

    Raises
    ------
    DeclinedError
        The pixels are stored in a way that this reader does not fully understand.
    SlideError
        The file is no TIFF, damaged or truncated, or has no such part.
    """
    path = str(source.location)
    try:
        with as_file(source) as file, tifffile.TiffFile(file) as tiff:
            layout = _layout(tiff, source, choice, max_tile_px)
            return replace(layout, levels=with_real_range(layout.levels, source))
    except _MALFORMED as error:
        raise SlideError(
            f"its TIFF directories cannot be read: {error}", path=path, remedy=_TRUNCATED
        ) from error


def _layout(tiff: tifffile.TiffFile, source: Source, choice: PartChoice, max_tile_px: int) -> TiffLayout:
    path = str(source.location)
    foreign = [name[3:] for name in FOREIGN if getattr(tiff, name)]
    if foreign:
        raise _unsupported(f"it is a TIFF of its own kind ({foreign[0]})", path)
    chosen = select_images(tiff, path, choice)
    plane = choice.plane_of(len(chosen.stack), path)
    if plane is None:
        plane = sharpest([_level(levels[0], path, max_tile_px) for levels in chosen.stack], source)
    first = chosen.stack[plane][0][0]
    levels = tuple(_level(planes, path, max_tile_px) for planes in chosen.stack[plane])
    _check_pyramid(levels, path)
    properties = {**_properties(first, chosen.vendor == "aperio"), **chosen.properties}
    part = Part(chosen.scenes, chosen.scene, len(chosen.stack), plane)
    return TiffLayout(levels, chosen.associated, chosen.vendor, properties, part)


def _level(planes: Planes, path: str, max_tile_px: int) -> TiffLevel:
    page = planes[0]
    size = Size(page.imagewidth, page.imagelength)
    tile = (
        Size(page.tilewidth, page.tilelength)
        if page.is_tiled
        else Size(size.width, min(page.rowsperstrip, size.height))
    )
    encoding = _encoding(planes, path)
    if not size.area or not tile.area or tile.area > max_tile_px:
        raise _unsupported(f"its stored tiles of {tile} px are too large to decode one by one", path)
    cols, rows = -(-size.width // tile.width), -(-size.height // tile.height)
    offsets = np.array([page.dataoffsets for page in planes], np.int64).reshape(-1)
    counts = np.array([page.databytecounts for page in planes], np.int64).reshape(-1)
    stored = page.samplesperpixel if page.planarconfig != 1 else len(planes)
    decode = subsampled_decoder(page) if is_subsampled(page) else strict_decoder(page)
    shape = (stored, cols * rows)
    return TiffLevel(size, tile, cols, offsets.reshape(shape), counts.reshape(shape), decode, encoding)


def _encoding(planes: Planes, path: str) -> Encoding:
    """What the samples of a level mean.

    Aperio's own JPEG 2000 is left to OpenSlide; what else is not certain, no other reader knows better.
    """
    page = planes[0]
    if page.compression == _APERIO_YCBCR_J2K:
        raise _unsupported("the fast TIFF reader does not read Aperio's JPEG 2000 in YCbCr", path)
    try:
        if len({in_words(each) for each in planes}) > 1 or (len(planes) > 1 and page.compression == _JPEG):
            raise UnconvertibleError(
                f"its red, green and blue are stored in different ways ({in_words(page)})"
            )
        encoding = encoding_of(page)
    except UnconvertibleError as error:
        raise SlideError(
            f"its colours are not certain: {error}", path=path, remedy="Convert it to RGB of 8 bits"
        ) from error
    return encoding if len(planes) == 1 else replace(encoding, photometric=RGB_COLOUR)


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
    found |= icc_properties(page.iccprofile or b"")
    unit = page.tags.get("ResolutionUnit")
    found["tiff.ResolutionUnit"] = _UNITS.get(int(unit.value) if unit else 0, "none")
    return found
