"""The fast reader: tiled TIFF and SVS, each stored tile decoded once, then scattered into the answer."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import tifffile

from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.slide.base import RGB
from wsi_nucssl.slide.lru import TileCache
from wsi_nucssl.slide.reader import WHITE, Reader, SlideMetadata, flatten_alpha
from wsi_nucssl.slide.tiff_layout import TiffLevel, parse_layout

_CACHE_BYTES = 128 << 20
_MAX_ASSOCIATED_PX = 100_000_000


class TiffReader(Reader):
    """Threads share one file descriptor by positioned reads and one cache of decoded tiles.

    Decoding releases the GIL, so that reading scales with threads. A tile left out of the file (length 0) is
    white.
    """

    name = "tiff"

    def __init__(self, path: Path, mpp: float | None = None) -> None:
        layout = parse_layout(path)
        self._tiff_levels = layout.levels
        self._associated = layout.associated
        self._cache = TileCache(_CACHE_BYTES)
        sizes = tuple(level.size for level in layout.levels)
        names = tuple(sorted(layout.associated))
        super().__init__(path, SlideMetadata(sizes, layout.vendor, layout.properties, names), mpp)
        self._file = _PositionedFile(path)

    def _decode(self, level: int, box: Box) -> RGB:
        stored = self._tiff_levels[level]
        width, height = stored.tile.width, stored.tile.height
        image = np.empty((*box.size.shape_rc, 3), np.uint8)
        for row in range(box.y0 // height, -(-box.y1 // height)):
            for col in range(box.x0 // width, -(-box.x1 // width)):
                tile = Box(col * width, row * height, (col + 1) * width, (row + 1) * height)
                part = tile.clip(box)
                pixels = self._tile(level, row * stored.cols + col)
                image[part.relative_to(box.origin).rc] = pixels[part.relative_to(tile.origin).rc]
        return image

    def _tile(self, level: int, index: int) -> RGB:
        pixels = self._cache.get((level, index))
        if pixels is None:
            pixels = self._decode_tile(self._tiff_levels[level], index)
            self._cache.put((level, index), pixels)
        return pixels

    def _decode_tile(self, stored: TiffLevel, index: int) -> RGB:
        offset, count = int(stored.offsets[index]), int(stored.counts[index])
        if count == 0:
            return np.full((*stored.tile.shape_rc, 3), WHITE, np.uint8)
        try:
            data = self._file.read(offset, count)
        except OSError as error:
            raise self._damaged(f"tile {index} at byte {offset} cannot be read: {error}") from error
        try:
            decoded = stored.decode(data, index, jpegtables=stored.jpegtables, _fullsize=False)[0]
        except (RuntimeError, ValueError, IndexError) as error:
            raise self._damaged(f"tile {index} at byte {offset} cannot be decoded: {error}") from error
        if decoded is None or decoded.ndim != 4:
            raise self._damaged(f"tile {index} at byte {offset} holds no image")
        return _as_rgb(decoded[0])

    def _decode_associated(self, name: str) -> RGB:
        with tifffile.TiffFile(self._path) as tiff:
            page = tiff.pages[self._associated[name]].aspage()
            if Size(page.imagewidth, page.imagelength).area > _MAX_ASSOCIATED_PX:
                raise self._damaged(f"its {name} image declares {page.imagewidth} × {page.imagelength} px")
            try:
                return _as_rgb(np.atleast_3d(page.asarray()))
            except (RuntimeError, ValueError, IndexError) as error:
                raise self._damaged(f"its {name} image cannot be decoded: {error}") from error

    def close(self) -> None:
        """Give back the file handle. Closing twice is fine."""
        self._file.close()
        self._cache.clear()


def _as_rgb(pixels: RGB) -> RGB:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else flatten_alpha(pixels)


class _PositionedFile:
    """Reads at an offset, from any thread: `pread` where there is one, else seek and read under a lock."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._lock = threading.Lock()

    def read(self, offset: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), count, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(count)

    def close(self) -> None:
        self._file.close()
