"""What segmenting one slide amounts to: which windows the network sees, and which blocks are extracted from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from wsi_nucssl.geometry import Box, Point, Size
from wsi_nucssl.grid import Tile, TileGrid
from wsi_nucssl.segment.windows import BLEND, CORE, MARGIN, WindowGrid, output_extent, window_grid
from wsi_nucssl.slide import Canvas, TissueMask

HALO: Final = 96
"""px that a block reads around its core at first."""
MAX_HALO: Final = 2048
"""px around a block's core at most; a nucleus that reaches farther is flagged."""
TISSUE_MARGIN: Final = 128
"""A window is predicted if there is tissue in its core or within this many px of it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Windows and blocks of one slide, all in output px: those of the canvas that is read, each `upscale` by `upscale`.

    Attributes
    ----------
    extent : output px that cover the slide.
    scale_x, scale_y : level-0 px per output px.
    windows : the grid of windows.
    selected : the windows that see tissue, in raster order; all others are background.
    blocks : the grid of blocks that nuclei are extracted from.
    active : the blocks that a selected window overlaps, in raster order; all others hold no nuclei.
    """

    extent: Size
    scale_x: float
    scale_y: float
    windows: WindowGrid
    selected: tuple[Tile, ...]
    blocks: TileGrid
    active: tuple[Tile, ...]

    @property
    def box(self) -> Box:
        """The whole extent."""
        return Box.at(Point(0, 0), self.extent)


def make_plan(
    canvas: Canvas,
    tissue: TissueMask,
    *,
    upscale: int = 1,
    block_px: int | None = None,
    core: int = CORE,
    margin: int = MARGIN,
    blend: int = BLEND,
) -> Plan:
    """Lay windows and blocks over what a network of this `upscale` answers on a canvas.

    `block_px` is the side of a block, by default that of two windows; it does not change the result.
    """
    scale_x, scale_y = canvas.scale_x / upscale, canvas.scale_y / upscale
    extent = output_extent(canvas.slide.dimensions, canvas.size, scale_x, scale_y, upscale)
    windows = window_grid(extent, margin, core, upscale=upscale, blend=blend)
    size = Size(block_px, block_px) if block_px else Size(2 * windows.tile.width, 2 * windows.tile.height)
    blocks = TileGrid(extent, size)

    def sees_tissue(tile: Tile) -> bool:
        around = tile.core.grow(TISSUE_MARGIN).clip(Box.at(Point(0, 0), extent))
        return tissue.coverage(_to_level0(around, scale_x, scale_y)) > 0

    selected = tuple(tile for tile in windows if sees_tissue(tile))
    active = {(block.row, block.col): block for tile in selected for block in blocks.overlapping(tile.core)}
    in_order = tuple(active[place] for place in sorted(active))
    return Plan(extent, scale_x, scale_y, windows, selected, blocks, in_order)


def _to_level0(box: Box, scale_x: float, scale_y: float) -> Box:
    """The least level-0 box that covers `box`."""
    return Box(
        math.floor(box.x0 * scale_x),
        math.floor(box.y0 * scale_y),
        math.ceil(box.x1 * scale_x),
        math.ceil(box.y1 * scale_y),
    )
