"""The windows that the network sees: a grid of cores on the canvas, each read with a margin as context.

Cores and margins are counted in output px, those that the network answers in. A network of `upscale` 2 sees px twice
as large: a window's input px are its output px, two by two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.grid import Tile, TileGrid
from wsi_nucssl.models.spec import MULTIPLE

MARGIN: Final = 64
"""Output px of context on each side of a core; docs/seams.md has the measurement that chose it."""
CORE: Final = 1024
"""Side of a core, in output px."""
BLEND: Final = 32
"""Output px on each side of a seam over which neighbouring windows are blended; docs/seams.md says why as many."""

ReadRGB = Callable[[Box], NDArray[np.uint8]]
"""Reads a box of input px, inside the canvas, as RGB (row, col, 3)."""


@dataclass(frozen=True, slots=True)
class WindowGrid(TileGrid):
    """Windows over an extent of output px: their cores are the tiles, their contexts the margin.

    Parameters
    ----------
    upscale : int
        Output px per input px along each axis; cores, margin and offset are multiples of it.
    blend : int
        px of the margin that are kept beyond each side of the core, and blended with the neighbours.
    """

    upscale: int = 1
    blend: int = 0

    def __post_init__(self) -> None:
        TileGrid.__post_init__(self)
        places = (self.tile.width, self.tile.height, self.margin, self.offset.x, self.offset.y)
        if any(place % self.upscale for place in places):
            raise UsageError(
                f"cores of {self.tile} px with a margin of {self.margin} px cut the network's input px",
                remedy=f"Choose multiples of {self.upscale} px",
            )
        sides = [side for side, n in ((self.tile.width, self.cols), (self.tile.height, self.rows)) if n > 1]
        if not 0 <= self.blend <= min([self.margin, *(side // 2 for side in sides)]):
            raise UsageError(
                f"cores of {self.tile} px with a margin of {self.margin} px cannot be blended over {self.blend} px",
                remedy="Choose at most the margin, and at most half a core",
            )

    @property
    def shape(self) -> Size:
        """Output px of every window, margins included."""
        return Size(self.tile.width + 2 * self.margin, self.tile.height + 2 * self.margin)

    @property
    def input_shape(self) -> Size:
        """Input px of every window, margins included."""
        return Size(self.shape.width // self.upscale, self.shape.height // self.upscale)

    @property
    def input_extent(self) -> Box:
        """The canvas that the network sees: all input px that the extent lies on."""
        return Box(0, 0, -(-self.extent.width // self.upscale), -(-self.extent.height // self.upscale))

    @property
    def kept_size(self) -> Size:
        """Output px that are kept of every window."""
        return Size(self.tile.width + 2 * self.blend, self.tile.height + 2 * self.blend)

    def kept(self, tile: Tile) -> Box:
        """The px that are kept of a window, its core and what is blended: of one size, and may leave the extent."""
        return Box.at(tile.core.origin, self.kept_size).shift(-self.blend, -self.blend)

    def input_box(self, tile: Tile) -> Box:
        """The input px of a window; may leave the canvas."""
        origin = tile.read.origin
        return Box(0, 0, self.input_shape.width, self.input_shape.height).shift(
            origin.x // self.upscale, origin.y // self.upscale
        )


def window_grid(
    extent: Size, margin: int = MARGIN, core: int = CORE, *, upscale: int = 1, blend: int = BLEND
) -> WindowGrid:
    """The grid of windows of an extent in output px: cores of `core` px, or less where the extent is smaller than that.

    Slides thus share one window shape, which engines compile once. With its margins, a window's sides are multiples of
    what the network wants.
    """
    width, height = (_fitting(side, core, margin, upscale) for side in (extent.width, extent.height))
    return WindowGrid(extent, Size(width, height), margin, upscale=upscale, blend=blend)


def _fitting(side: int, core: int, margin: int, upscale: int) -> int:
    whole, multiple = min(side, core) + 2 * margin, MULTIPLE * upscale
    return -(-whole // multiple) * multiple - 2 * margin


def output_extent(source: Size, seen: Size, scale_x: float, scale_y: float, upscale: int) -> Size:
    """Output px that cover a slide or image of `source` px, and never more than those that the network answers.

    Parameters
    ----------
    source : Size
        Its own px.
    seen : Size
        Input px that cover it.
    scale_x, scale_y : float
        Its own px per output px.
    """
    width = min(px_to_cover(source.width, scale_x), upscale * seen.width)
    return Size(width, min(px_to_cover(source.height, scale_y), upscale * seen.height))


def px_to_cover(length: int, scale: float) -> int:
    """How many px of that scale cover a length; as for `Canvas`, an excess of a millionth of a px is rounding noise."""
    return max(1, math.ceil(length / scale - 1e-6))


def read_window(read: ReadRGB, tile: Tile, grid: WindowGrid) -> NDArray[np.uint8]:
    """RGB of a window, of `grid.input_shape` whatever the tile's place: beyond the canvas it is mirrored.

    Every window of a grid has the shape of an inner tile with its margins, so that engines see one shape only.
    """
    wanted = grid.input_box(tile)
    inside = wanted.clip(grid.input_extent)
    pixels = read(inside)
    pad = (
        (inside.y0 - wanted.y0, wanted.y1 - inside.y1),
        (inside.x0 - wanted.x0, wanted.x1 - inside.x1),
        (0, 0),
    )
    return np.pad(pixels, pad, mode="symmetric") if any(map(any, pad)) else pixels


def repeat_px(plane: NDArray[np.uint8], upscale: int) -> NDArray[np.uint8]:
    """A plane of input px (row, col) in output px: each value `upscale` by `upscale` times."""
    return plane.repeat(upscale, axis=0).repeat(upscale, axis=1)
