"""What segmenting one slide amounts to: which windows the network sees, and which blocks are extracted from them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.geometry import Box, Point, Size
from wsi_nucssl.grid import Tile, TileGrid
from wsi_nucssl.nuclei.seams import Part
from wsi_nucssl.segment.windows import BLEND, CORE, MARGIN, WindowGrid, output_extent, window_grid
from wsi_nucssl.slide import Canvas, TissueMask
from wsi_nucssl.slide.roi import Extent, Roi, Rule

HALO: Final = 96
"""px that a block reads around its core at first."""
MAX_HALO: Final = 2048
"""px around a block's core at most; a nucleus that reaches farther is flagged."""
TISSUE_MARGIN: Final = 128
"""A window is predicted if there is tissue in its core or within this many px of it."""


@dataclass(frozen=True, slots=True, eq=False)
class SeedRule:
    """Which seeds are asked for: those whose centres lie in regions.

    Attributes
    ----------
    rule : Rule
        Says it of points of level 0.
    scale_x, scale_y : float
        level-0 px per output px.
    """

    rule: Rule
    scale_x: float
    scale_y: float

    def __call__(self, seed_xy: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `nuclei.seams.Holds`; seeds in output px."""
        return self.rule.holds((seed_xy + 0.5) * (self.scale_x, self.scale_y))

    def near(self, box: Box) -> SeedRule:
        """The same for the seeds of a box of output px."""
        return replace(self, rule=self.rule.near(_to_level0(box, self.scale_x, self.scale_y)))


@dataclass(frozen=True, slots=True)
class Plan:
    """Windows and blocks of one slide, all in output px: those of the canvas that is read, each `upscale` by `upscale`.

    Attributes
    ----------
    extent : Size
        Output px that cover the slide.
    scale_x, scale_y : float
        level-0 px per output px.
    windows : WindowGrid
        The grid of windows.
    selected : tuple of Tile
        The windows that see tissue, in raster order; all others are background.
    blocks : TileGrid
        The grid of blocks that nuclei are extracted from.
    active : tuple of Tile
        The blocks that a selected window overlaps, in raster order; all others hold no nuclei. With regions, their
        cores are the parts that the regions reach.
    reserve : tuple of Tile
        With regions, the windows around the selected ones that see tissue: predicted where a nucleus reaches them.
    rule : SeedRule or None
        Which nuclei are asked for; None for all.
    """

    extent: Size
    scale_x: float
    scale_y: float
    windows: WindowGrid
    selected: tuple[Tile, ...]
    blocks: TileGrid
    active: tuple[Tile, ...]
    reserve: tuple[Tile, ...] = ()
    rule: SeedRule | None = None

    @property
    def box(self) -> Box:
        """The whole extent."""
        return Box.at(Point(0, 0), self.extent)

    def part_of(self, block: Tile) -> Part | None:
        """Which nuclei of an active block are asked for; None for all."""
        if self.rule is None:
            return None
        return Part(self.blocks.at(block.row, block.col).core, self.rule.near(block.core))

    def reach_of(self, block: Tile) -> Box:
        """All that extraction of an active block may ever read."""
        whole = block.core if self.rule is None else self.blocks.at(block.row, block.col).core
        return whole.grow(MAX_HALO).clip(self.box)


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


def narrowed(plan: Plan, roi: Roi | None) -> Plan:
    """The plan of the nuclei in regions alone, which come out as the whole plan gives them; the same without regions.

    Of each block, the part that the regions reach is looked at, and the windows predicted at first are those that this
    part reads at first: within `HALO` px of it, and `blend` px more, for they have a say there. A nucleus in the
    regions that reaches farther has more windows predicted, out of the reserve. So every px that decides on a nucleus
    is that of the whole plan: a window counts as background only if it does so there.
    """
    if roi is None:
        return plan
    reached = roi.parts_in([_to_level0(block.core, plan.scale_x, plan.scale_y) for block in plan.active])
    seen = {(tile.row, tile.col) for tile in plan.selected}
    active = []
    for block, part in zip(plan.active, reached, strict=True):
        core = _in_px(part, plan).clip(block.core) if part else None
        if core and any((tile.row, tile.col) in seen for tile in plan.windows.overlapping(core)):
            active.append(Tile(block.row, block.col, core, core))
    whole = replace(plan, active=tuple(active), rule=SeedRule(roi.rule, plan.scale_x, plan.scale_y))
    at_first = _having_a_say(plan.windows, [block.core.grow(HALO) for block in active])
    ever = _having_a_say(plan.windows, [whole.reach_of(block) for block in active])
    return replace(
        whole,
        selected=tuple(tile for tile in plan.selected if (tile.row, tile.col) in at_first),
        reserve=tuple(tile for tile in plan.selected if (tile.row, tile.col) in ever - at_first),
    )


def _having_a_say(grid: WindowGrid, boxes: Iterable[Box]) -> set[tuple[int, int]]:
    """(row, col) of the windows whose bytes decide on px of boxes."""
    return {(tile.row, tile.col) for box in boxes for tile in grid.overlapping(box.grow(grid.blend))}


def _in_px(part: Extent, plan: Plan) -> Box:
    """The least box of output px that covers a part of level 0."""
    x0, y0, x1, y1 = part
    return Box(
        math.floor(x0 / plan.scale_x),
        math.floor(y0 / plan.scale_y),
        math.ceil(x1 / plan.scale_x),
        math.ceil(y1 / plan.scale_y),
    )


def _to_level0(box: Box, scale_x: float, scale_y: float) -> Box:
    """The least level-0 box that covers `box`."""
    return Box(
        math.floor(box.x0 * scale_x),
        math.floor(box.y0 * scale_y),
        math.ceil(box.x1 * scale_x),
        math.ceil(box.y1 * scale_y),
    )
