"""What segmenting one slide amounts to: which windows the network sees, and which blocks are extracted from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wsi_nucssl.geometry import Box, Point, Size
from wsi_nucssl.segment.windows import CORE, MARGIN, window_grid
from wsi_nucssl.slide import Canvas, TissueMask
from wsi_nucssl.tiles.grid import Tile, TileGrid

HALO: Final = 96
"""px that a block reads around its core at first."""
MAX_HALO: Final = 2048
"""px around a block's core at most; a nucleus that reaches farther is flagged."""
_TISSUE_MARGIN: Final = 128
"""A window is predicted if there is tissue in its core or within this many px of it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Windows and blocks of one canvas.

    Attributes
    ----------
    extent : the canvas.
    windows : the grid of windows.
    selected : the windows that see tissue, in raster order; all others are background.
    blocks : the grid of blocks that nuclei are extracted from.
    active : the blocks that a selected window overlaps, in raster order; all others hold no nuclei.
    """

    extent: Size
    windows: TileGrid
    selected: tuple[Tile, ...]
    blocks: TileGrid
    active: tuple[Tile, ...]

    @property
    def box(self) -> Box:
        """The whole canvas."""
        return Box.at(Point(0, 0), self.extent)


def make_plan(
    canvas: Canvas, tissue: TissueMask, *, block_px: int | None = None, core: int = CORE, margin: int = MARGIN
) -> Plan:
    """Lay windows and blocks over a canvas.

    `block_px` is the side of a block, by default that of two windows; it does not change the result.
    """
    windows = window_grid(canvas.size, margin, core)
    size = Size(block_px, block_px) if block_px else Size(2 * windows.tile.width, 2 * windows.tile.height)
    blocks = TileGrid(canvas.size, size)
    selected = tuple(tile for tile in windows if _sees_tissue(tile, canvas, tissue))
    active = {(block.row, block.col): block for tile in selected for block in blocks.overlapping(tile.core)}
    return Plan(canvas.size, windows, selected, blocks, tuple(active[place] for place in sorted(active)))


def _sees_tissue(tile: Tile, canvas: Canvas, tissue: TissueMask) -> bool:
    around = tile.core.grow(_TISSUE_MARGIN).clip(canvas.box)
    return tissue.coverage(canvas.to_level0(around)) > 0
