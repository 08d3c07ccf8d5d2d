"""Which windows are predicted and which blocks extracted, against plain loops over the pixels of the tissue mask."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.segment.fakes import write_slide
from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.grid import Tile
from wsi_nucssl.segment.plan import TISSUE_MARGIN, Plan, make_plan
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.segment.windows import BLEND, CORE, MARGIN
from wsi_nucssl.slide import RGB, TissueMask

PITCH = 160


@dataclass(frozen=True)
class Scene:
    """A slide of some level-0 px, a canvas on it, and its tissue."""

    slide: Size
    scale: float
    upscale: int
    mask: NDArray[np.bool_]
    mask_scale: float

    def plan(self, **how: Any) -> Plan:
        seen = Size(math.ceil(self.slide.width / self.scale), math.ceil(self.slide.height / self.scale))
        canvas: Any = SimpleNamespace(
            slide=SimpleNamespace(dimensions=self.slide), size=seen, scale_x=self.scale, scale_y=self.scale
        )
        how = {"core": PITCH, "margin": 32, "blend": 16, **how}
        return make_plan(canvas, TissueMask(self.mask, self.mask_scale, None), upscale=self.upscale, **how)

    def tissue_px(self, plan: Plan) -> list[tuple[float, float, float, float]]:
        """The pixels of the mask that are tissue, as (x0, y0, x1, y1) in output px, without what leaves the slide."""
        step_x, step_y = self.mask_scale / plan.scale_x, self.mask_scale / plan.scale_y
        places = ((int(col), int(row)) for row, col in np.argwhere(self.mask))
        return [(x * step_x, y * step_y, (x + 1) * step_x, (y + 1) * step_y) for x, y in places]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    mask_scale = draw(st.sampled_from([8, 16, 32]))
    rows, cols = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    mask = np.zeros((rows, cols), np.bool_)
    for _ in range(draw(st.integers(0, 3))):
        mask[draw(st.integers(0, rows - 1)), draw(st.integers(0, cols - 1))] = True
    size = Size(cols * mask_scale, rows * mask_scale)
    return Scene(
        size, draw(st.sampled_from([0.5, 1.0, 2.0])), draw(st.sampled_from([1, 2])), mask, mask_scale
    )


def gap(tile: Tile, px: tuple[float, float, float, float]) -> float:
    """Output px between a core and a rectangle, along the axis with more of them; below 0 where they overlap."""
    x0, y0, x1, y1 = px
    core = tile.core
    return max(x0 - core.x1, core.x0 - x1, y0 - core.y1, core.y0 - y1)


def places(tiles: tuple[Tile, ...]) -> list[tuple[int, int]]:
    return [(tile.row, tile.col) for tile in tiles]


@settings(max_examples=200, deadline=None)
@given(scenes())
def test_a_window_is_predicted_exactly_if_tissue_is_near(scene: Scene) -> None:
    plan = scene.plan()
    tissue = scene.tissue_px(plan)
    near = [tile for tile in plan.windows if any(gap(tile, px) < TISSUE_MARGIN for px in tissue)]
    assert places(plan.selected) == places(tuple(near))


@settings(max_examples=100, deadline=None)
@given(scenes(), st.one_of(st.none(), st.integers(64, 500)))
def test_a_block_is_extracted_exactly_if_it_shares_a_px_with_such_a_window(
    scene: Scene, block_px: int | None
) -> None:
    plan = scene.plan(block_px=block_px)
    sides = (
        [2 * plan.windows.tile.width, 2 * plan.windows.tile.height] if block_px is None else [block_px] * 2
    )
    assert [plan.blocks.tile.width, plan.blocks.tile.height] == sides
    shared = [
        block
        for block in plan.blocks
        if any(not block.core.clip(tile.core).is_empty for tile in plan.selected)
    ]
    assert places(plan.active) == places(tuple(shared))


@pytest.mark.parametrize(
    ("col", "selected"), [(36, [0]), (37, [0, 1]), (52, [0, 1]), (53, [0, 1]), (68, [0, 1]), (69, [1])]
)
def test_the_margin_at_an_edge_is_128_px(col: int, selected: list[int]) -> None:
    """Two windows meet at px 424; px of the mask are 8 wide. Tissue that ends 128 px before a core is just too far."""
    mask = np.zeros((10, 106), np.bool_)
    mask[5, col] = True
    plan = Scene(Size(848, 80), 1.0, 1, mask, 8).plan(core=424, margin=44, blend=0)
    assert plan.windows.tile.width == 424
    assert [tile.col for tile in plan.selected] == selected
    assert TISSUE_MARGIN == 128


@settings(max_examples=60, deadline=None)
@given(scenes())
def test_output_px_cover_the_slide(scene: Scene) -> None:
    plan = scene.plan()
    assert plan.scale_x == plan.scale_y == scene.scale / scene.upscale
    for side, length in ((plan.extent.width, scene.slide.width), (plan.extent.height, scene.slide.height)):
        assert side == math.ceil(length / plan.scale_x)
    assert plan.box == Box(0, 0, plan.extent.width, plan.extent.height)


def test_the_record_says_how_the_slide_was_cut(
    segment: Callable[..., SegmentSummary], tissue: RGB, tmp_path: Path
) -> None:
    """900 rows and twice the margin are 1028, which a network takes as 1056; docs/formats.md lists the names."""
    slide = write_slide(tmp_path / "tissue.tif", tissue)
    asked: dict[str, Any] = {"mpp": 0.25, "force_mpp": True, "block_px": 700, "batch_size": 2}
    plain, other = (
        json.loads(segment(slide, tmp_path / f"{len(more)}.geojson", **more).output.read_bytes())[
            "wsi_nucssl"
        ]
        for more in ({}, asked)
    )
    for header in (plain, other):
        assert (header["window_px"], header["margin_px"], header["blend_px"]) == ([1056, 1152], 64, 32)
        assert header["halo_px"] == [96, 2048]
    assert plain["block_px"] == [2 * (1056 - 128), 2 * (1152 - 128)]
    assert "force_mpp" not in plain
    assert (other["block_px"], other["force_mpp"], other["batch_size"]) == ([700, 700], True, 2)


def test_extraction_may_read_so_far_around_a_block_as_the_record_says() -> None:
    scene = Scene(Size(9000, 7000), 1.0, 1, np.ones((70, 90), np.bool_), 100)
    plan = scene.plan(block_px=1000)
    assert plan.reach_of(plan.blocks.at(3, 4)) == Box(4000 - 2048, 3000 - 2048, 5000 + 2048, 4000 + 2048)
    assert plan.reach_of(plan.blocks.at(0, 8)) == Box(8000 - 2048, 0, 9000, 1000 + 2048)
    assert plan.part_of(plan.blocks.at(0, 8)) is None


def test_by_default_windows_are_those_that_were_measured() -> None:
    scene = Scene(Size(5000, 4000), 1.0, 1, np.ones((40, 50), np.bool_), 100)
    plan = scene.plan(core=CORE, margin=MARGIN, blend=BLEND)
    default: Any = make_plan.__kwdefaults__
    assert (default["core"], default["margin"], default["blend"]) == (1024, 64, 32)
    assert (plan.windows.tile, len(plan.selected), len(plan.active)) == (Size(1024, 1024), 20, 6)
