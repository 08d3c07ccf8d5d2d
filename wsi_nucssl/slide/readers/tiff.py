"""The fast reader: tiled TIFF and SVS, each stored tile decoded once, then scattered into the answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice

import numpy as np
import tifffile

from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.mpp import NOT_GIVEN, GivenMpp
from wsi_nucssl.photometric import to_rgb
from wsi_nucssl.slide.base import RGB
from wsi_nucssl.slide.lru import TileCache
from wsi_nucssl.slide.part import ANY_PART, PartChoice
from wsi_nucssl.slide.reader import WHITE, Reader, SlideMetadata
from wsi_nucssl.slide.readers.tiff_encoding import encoding_of
from wsi_nucssl.slide.readers.tiff_layout import MAX_TILE_PX, parse_layout
from wsi_nucssl.slide.readers.tiff_segments import DAMAGE
from wsi_nucssl.slide.registry import TIFF_ENDINGS, TIFF_MAGIC, SlideReader, starts_with
from wsi_nucssl.slide.source import Source, as_file

_CACHE_BYTES = 128 << 20
_LARGE_TILE_PX = 1 << 22
_MAX_ASSOCIATED_PX = 100_000_000


class TiffReader(Reader):
    """Threads share one source by reads at an offset and one cache of decoded tiles.

    Decoding releases the GIL, so that reading scales with threads. A tile left out of the file (length 0) is
    white.
    """

    name = "tiff"

    def __init__(
        self,
        source: Source,
        mpp: GivenMpp = NOT_GIVEN,
        choice: PartChoice = ANY_PART,
        max_tile_px: int = MAX_TILE_PX,
    ) -> None:
        layout = parse_layout(source, choice, max_tile_px)
        self._tiff_levels = layout.levels
        self._associated = layout.associated
        self._cache = TileCache(_CACHE_BYTES)
        self._one_large = threading.Lock()
        sizes = tuple(level.size for level in layout.levels)
        names = tuple(sorted(layout.associated))
        metadata = SlideMetadata(sizes, layout.vendor, layout.properties, names, part=layout.part)
        super().__init__(source.location, metadata, mpp)
        self._source = source

    def _decode(self, level: int, box: Box) -> RGB:
        stored = self._tiff_levels[level]
        width, height = stored.tile.width, stored.tile.height
        image = np.empty((*box.size.shape_rc, 3), np.uint8)
        for row in range(box.y0 // height, -(-box.y1 // height)):
            cols = range(box.x0 // width, -(-box.x1 // width))
            tiles = self._tiles(level, [row * stored.cols + col for col in cols])
            for col, pixels in zip(cols, tiles, strict=True):
                tile = Box(col * width, row * height, (col + 1) * width, (row + 1) * height)
                part = tile.clip(box)
                image[part.relative_to(box.origin).rc] = pixels[part.relative_to(tile.origin).rc]
        return image

    def _tiles(self, level: int, indexes: list[int]) -> Iterator[RGB]:
        """One tile after another; the bytes of those that are not held are read together."""
        stored = self._tiff_levels[level]
        held = [self._cache.get((level, index)) for index in indexes]
        missing = [index for index, pixels in zip(indexes, held, strict=True) if pixels is None]
        ranges = [place for index in missing for place in stored.ranges_of(index)]
        data = iter(self._source.read_many(ranges))
        for index, pixels in zip(indexes, held, strict=True):
            yield self._decoded(level, index, list(islice(data, stored.planes))) if pixels is None else pixels

    def _decoded(self, level: int, index: int, parts: list[bytes]) -> RGB:
        """A tile, held from now on; one of a large image's few strips is decoded by one thread while others wait."""
        if self._tiff_levels[level].tile.area <= _LARGE_TILE_PX:
            pixels = self._decode_tile(level, index, parts)
            self._cache.put((level, index), pixels)
            return pixels
        with self._one_large:
            held = self._cache.get((level, index))
            if held is None:
                held = self._decode_tile(level, index, parts)
                self._cache.put((level, index), held)
            return held

    def _decode_tile(self, level: int, index: int, parts: list[bytes]) -> RGB:
        stored = self._tiff_levels[level]
        if not any(parts):
            return np.full((*stored.tile.shape_rc, 3), WHITE, np.uint8)
        try:
            return stored.rgb(parts, index)
        except DAMAGE as error:
            row, col = divmod(index, stored.cols)
            offset, _ = stored.range_of(index)
            raise self._damaged(
                f"level {level}, tile in column {col} and row {row} (byte {offset}) is damaged: {error}"
            ) from error

    def _decode_associated(self, name: str) -> RGB:
        with as_file(self._source) as file, tifffile.TiffFile(file) as tiff:
            page = tiff.pages[self._associated[name]].aspage()
            if Size(page.imagewidth, page.imagelength).area > _MAX_ASSOCIATED_PX:
                raise self._damaged(f"its {name} image declares {page.imagewidth} × {page.imagelength} px")
            try:
                return to_rgb(np.atleast_3d(page.asarray()), encoding_of(page))
            except DAMAGE as error:
                raise self._damaged(f"its {name} image cannot be decoded: {error}") from error

    def hold_at_most(self, tile_bytes: int) -> None:
        """Keep no more than so many bytes of decoded tiles."""
        self._cache.limit(tile_bytes)

    def close(self) -> None:
        """Give back the file handle. Closing twice is fine."""
        self._source.close()
        self._cache.clear()


READER = SlideReader(starts_with(*TIFF_MAGIC), TiffReader, TIFF_ENDINGS, TiffReader)
