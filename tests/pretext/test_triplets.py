from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box
from wsi_nucssl.pretext.triplets import MIN_TILE_PX, TripletGeometry, draw_triplet

PAPER = TripletGeometry()
seeds = st.integers(0, 2**32 - 1)


@st.composite
def geometries(draw: st.DrawFn) -> TripletGeometry:
    anchor = draw(st.integers(64, 1000))
    negatives = tuple(draw(st.lists(st.integers(1, anchor), min_size=1, max_size=4)))
    return TripletGeometry(anchor, negatives, draw(st.integers(0, 1000 - anchor)))


@given(seeds, st.integers(MIN_TILE_PX, 2500), geometries())
def test_everything_lies_where_it_must(seed: int, tile_px: int, geometry: TripletGeometry) -> None:
    triplet = draw_triplet(tile_px, geometry, np.random.default_rng(seed))
    tile = Box(0, 0, tile_px, tile_px)
    assert tile.contains(triplet.anchor)
    assert tile.contains(triplet.positive)
    assert triplet.positive.contains(triplet.negative)
    assert triplet.anchor.size == triplet.positive.size
    assert triplet.negative.width == triplet.negative.height > 0


@given(seeds)
def test_the_papers_sizes_in_the_papers_tile(seed: int) -> None:
    triplet = draw_triplet(1000, PAPER, np.random.default_rng(seed))
    assert triplet.anchor.width == triplet.anchor.height == 768
    assert triplet.negative.width in (512, 256, 128, 64)
    dx, dy = triplet.positive.x0 - triplet.anchor.x0, triplet.positive.y0 - triplet.anchor.y0
    assert 116 <= max(abs(dx), abs(dy)) <= 232
    shared = triplet.anchor.clip(triplet.positive).size.area / 768**2
    assert shared >= 0.487


@given(seeds, st.integers(MIN_TILE_PX, 1500))
def test_the_same_seed_gives_the_same_triplet(seed: int, tile_px: int) -> None:
    first, second = (draw_triplet(tile_px, PAPER, np.random.default_rng(seed)) for _ in range(2))
    assert first == second


def test_every_direction_and_every_negative_comes_up() -> None:
    triplets = [draw_triplet(1000, PAPER, np.random.default_rng(seed)) for seed in range(300)]
    assert {t.negative.width for t in triplets} == {512, 256, 128, 64}
    moves = [(t.positive.x0 - t.anchor.x0, t.positive.y0 - t.anchor.y0) for t in triplets]
    far = {("x", dx > 0) if abs(dx) >= 116 else ("y", dy > 0) for dx, dy in moves}
    assert len(far) == 4


def test_sizes_scale_with_the_tile() -> None:
    triplet = draw_triplet(500, PAPER, np.random.default_rng(0))
    assert triplet.anchor.width == 384
    assert triplet.negative.width in (256, 128, 64, 32)


@pytest.mark.parametrize(
    "wrong", [{"anchor_px": 1001}, {"negatives_px": (800,)}, {"negatives_px": ()}, {"min_offset_px": 233}]
)
def test_impossible_geometry_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        TripletGeometry(**wrong)  # type: ignore[arg-type]


def test_a_tile_too_small_is_refused_with_the_size_to_use() -> None:
    with pytest.raises(UsageError, match="125"):
        draw_triplet(MIN_TILE_PX - 1, PAPER, np.random.default_rng(0))
