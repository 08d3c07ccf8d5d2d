"""A slide as JPEG tiles of a pyramid, as OpenSeadragon asks for them: each level has half the px of the next."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
import simplejpeg

from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.slide import RGB, Canvas, Slide
from wsi_nucssl.slide.lru import TileCache

TILE_PX: Final = 512
_QUALITY: Final = 88
_STEPS: Final = 4.0
"""Source px per px along a side that are read at once; for more, tiles are made of finer ones."""
_KEPT_BYTES: Final = 128 << 20


class SlidePictures:
    """Tiles of a slide's pyramid: of level `top`, px are those of level 0; of level `top` − k, 2^k times as large.

    Safe to share among threads, as its slide is.

    Parameters
    ----------
    slide : Slide
        It stays the caller's to close.

    Attributes
    ----------
    top : int
        The finest level; level 0 is a single px.
    coarsest : int
        The finest level that is one tile.
    """

    def __init__(self, slide: Slide) -> None:
        self.slide = slide
        self._made = TileCache(_KEPT_BYTES)
        longest = max(slide.dimensions.width, slide.dimensions.height)
        self.top = math.ceil(math.log2(longest))
        self.coarsest = max(
            level for level in range(self.top + 1) if level == 0 or self.grid(level) == Size(1, 1)
        )

    def grid(self, level: int) -> Size:
        """Tiles of a level along x and y."""
        size = self._size(level)
        return Size(-(-size.width // TILE_PX), -(-size.height // TILE_PX))

    def has(self, level: int, col: int, row: int) -> bool:
        """Whether there is such a tile."""
        if not self.coarsest <= level <= self.top:
            return False
        grid = self.grid(level)
        return 0 <= col < grid.width and 0 <= row < grid.height

    def jpeg(self, level: int, col: int, row: int) -> bytes:
        """One tile, cut off at the slide's rim.

        Raises
        ------
        SlideError
            The slide cannot be read there.
        """
        pixels = self._pixels(level, col, row)
        packed: bytes = simplejpeg.encode_jpeg(pixels, quality=_QUALITY, colorsubsampling="444")
        return packed

    def _size(self, level: int) -> Size:
        scale = 2 ** (self.top - level)
        size = self.slide.dimensions
        return Size(max(1, -(-size.width // scale)), max(1, -(-size.height // scale)))

    def _pixels(self, level: int, col: int, row: int) -> RGB:
        canvas = Canvas.at_scale(self.slide, float(2 ** (self.top - level)))
        size, x, y = self._size(level), col * TILE_PX, row * TILE_PX
        box = Box(x, y, min(x + TILE_PX, size.width), min(y + TILE_PX, size.height))
        if canvas.scale_x / self.slide.levels[canvas.level].downsample <= _STEPS:
            return np.ascontiguousarray(canvas.read(box))
        made = self._made.get((level, col, row))
        if made is None:
            made = self._of_finer(level, col, row, box.size)
            self._made.put((level, col, row), made)
        return made

    def _of_finer(self, level: int, col: int, row: int, size: Size) -> RGB:
        """A tile made of the four below it."""
        finer = np.full((2 * size.height, 2 * size.width, 3), 255, np.uint8)
        for dy in (0, 1):
            for dx in (0, 1):
                below = level + 1, 2 * col + dx, 2 * row + dy
                if self.has(*below):
                    y, x = dy * TILE_PX, dx * TILE_PX
                    room = finer[y : y + TILE_PX, x : x + TILE_PX]
                    part = self._pixels(*below)[: room.shape[0], : room.shape[1]]
                    room[: part.shape[0], : part.shape[1]] = part
        smaller = cv2.resize(finer, (size.width, size.height), interpolation=cv2.INTER_AREA)
        return np.asarray(smaller, np.uint8)
