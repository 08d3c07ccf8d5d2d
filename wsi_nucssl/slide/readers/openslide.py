"""Slides through OpenSlide: every vendor's format, and the reference for what a region means.

OpenSlide itself runs in processes of its own (`openslide_child`).
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import tifffile

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.mpp import NOT_GIVEN, GivenMpp
from wsi_nucssl.slide.base import RGB
from wsi_nucssl.slide.icc import icc_properties
from wsi_nucssl.slide.lru import TileCache
from wsi_nucssl.slide.reader import Reader, SlideMetadata, stated_bounds
from wsi_nucssl.slide.readers import guard
from wsi_nucssl.slide.readers.openslide_child import OpenSlideChildren, OpenSlideRefusedError
from wsi_nucssl.slide.readers.tiff_colours import decline_other_than_rgb, decline_stacks
from wsi_nucssl.slide.registry import (
    IMAGE_MAGIC,
    TIFF_ENDINGS,
    DeclinedError,
    SlideReader,
    local_path,
    starts_with,
)
from wsi_nucssl.slide.source import Source

_CELL_PX = 512
_CELL_CACHE_BYTES = 64 << 20


class OpenSlideReader(Reader):
    """OpenSlide addresses every level by whole level-0 px and interpolates in between.

    Where its downsample is no whole number, the same pixel of a level would so come out differently for
    different regions. Such levels are read in fixed cells, hence a pixel has one value; cells lie at most half
    a level-0 px off their place.
    """

    name = "openslide"

    def __init__(self, source: Source, mpp: GivenMpp = NOT_GIVEN) -> None:
        path = local_path(source, self.name)
        decline_other_than_rgb(source, self.name)
        decline_stacks(source, self.name)
        try:
            self._children = OpenSlideChildren(path)
        except OpenSlideRefusedError as error:
            raise _refused(path, str(error)) from error
        source.close()
        self._cells = TileCache(_CELL_CACHE_BYTES)
        facts = self._children.facts
        self._downsamples: list[float] = facts["downsamples"]
        properties = _without_assumed_unit(facts["properties"], path) | self._profile(facts["properties"])
        sizes = tuple(Size(width, height) for width, height in facts["sizes"])
        names = tuple(facts["associated"])
        vendor = properties.get("openslide.vendor", "unknown")
        bounds = stated_bounds(properties, "openslide")
        super().__init__(path, SlideMetadata(sizes, vendor, properties, names, bounds), mpp)

    def _profile(self, properties: dict[str, str]) -> dict[str, str]:
        """What there is to say of its ICC profile, which OpenSlide gives with a region."""
        if "openslide.icc-size" not in properties:
            return {}
        try:
            return icc_properties(self._children.icc_profile())
        except OpenSlideRefusedError:
            return {}

    def _decode(self, level: int, box: Box) -> RGB:
        if self._downsamples[level].is_integer():
            return self._read(level, box)
        image = np.empty((*box.size.shape_rc, 3), np.uint8)
        for top in range(box.y0 - box.y0 % _CELL_PX, box.y1, _CELL_PX):
            for left in range(box.x0 - box.x0 % _CELL_PX, box.x1, _CELL_PX):
                cell = Box(left, top, left + _CELL_PX, top + _CELL_PX)
                part = cell.clip(box)
                image[part.relative_to(box.origin).rc] = self._cell(level, cell)[
                    part.relative_to(cell.origin).rc
                ]
        return image

    def _cell(self, level: int, cell: Box) -> RGB:
        key = (level, cell.x0, cell.y0)
        pixels = self._cells.get(key)
        if pixels is None:
            size = self.levels[level].size
            pixels = self._read(level, cell.clip(Box(0, 0, size.width, size.height)))
            self._cells.put(key, pixels)
        return pixels

    def _read(self, level: int, box: Box) -> RGB:
        downsample = self._downsamples[level]
        location = round(box.x0 * downsample), round(box.y0 * downsample)
        try:
            return self._children.region(location, level, (box.width, box.height))
        except OpenSlideRefusedError as error:
            raise self._damaged(f"level {level} cannot be read at {box}: {error}") from error

    def _decode_associated(self, name: str) -> RGB:
        try:
            return self._children.associated(name)
        except OpenSlideRefusedError as error:
            raise self._damaged(f"its {name} image cannot be read: {error}") from error

    def hold_at_most(self, tile_bytes: int) -> None:
        """Keep no more than so many bytes of decoded tiles."""
        self._cells.limit(tile_bytes)

    def close(self) -> None:
        """End the processes that hold the file. Closing twice is fine."""
        self._children.close()
        self._cells.clear()


def _refused(path: Path, said: str) -> SlideError:
    """OpenSlide's own words tell what it does not support, which another reader may, from what is damaged."""
    if "unsupported" in said.lower():
        return DeclinedError(
            f"OpenSlide cannot open it: {said}", path=path, remedy="Leave the choice to ⟨reader⟩ auto"
        )
    return SlideError(
        f"OpenSlide cannot open it: {said}", path=path, remedy="Copy or export the slide again: it is damaged"
    )


def _is_known(source: Source) -> bool:
    if not isinstance(source.location, Path) or _is_image(source):
        return False
    return guard.knows(source.location)


def _without_assumed_unit(properties: dict[str, str], path: Path) -> dict[str, str]:
    """OpenSlide takes a resolution for px per inch where the file has no unit, or a damaged one: that says nothing."""
    if properties.get("tiff.ResolutionUnit") != "inch" or _says_inch(path):
        return properties
    assumed = {"tiff.ResolutionUnit"}
    if properties.get("openslide.vendor") == "generic-tiff":
        assumed |= {"openslide.mpp-x", "openslide.mpp-y"}
    return {name: value for name, value in properties.items() if name not in assumed}


def _says_inch(path: Path) -> bool:
    """True if the first directory of a TIFF states the unit, as one whole number."""
    try:
        with tifffile.TiffFile(path) as tiff:
            unit = tiff.pages.first.tags.get("ResolutionUnit")
            return unit is not None and (unit.dtype, unit.count, unit.value) == (_SHORT, 1, _INCH)
    except (tifffile.TiffFileError, struct.error, ValueError, IndexError):
        return False


_SHORT, _INCH = 3, 2
_is_image = starts_with(*IMAGE_MAGIC)
_VENDORS = (".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif", ".dcm", ".czi")

READER = SlideReader(_is_known, OpenSlideReader, (*TIFF_ENDINGS, *_VENDORS))
