"""How a bound of memory is shared out: one small case reckoned by hand, and what the shares add up to."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.segment import fakes
from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Size
from wsi_nucssl.grid import TileGrid
from wsi_nucssl.memory import parse_bytes
from wsi_nucssl.segment.memory import Shares, Views, shares
from wsi_nucssl.segment.plan import Plan
from wsi_nucssl.segment.windows import WindowGrid
from wsi_nucssl.slide import TissueMask

MIB = 2**20
EXTENT = Size(1000, 400)
GRID = WindowGrid(EXTENT, Size(100, 50), 10, upscale=2, blend=5)
PLAN = Plan(EXTENT, 1.0, 1.0, GRID, (), TileGrid(EXTENT, Size(300, 200)), ())
CANVAS: Any = SimpleNamespace(
    slide=SimpleNamespace(levels=[SimpleNamespace(downsample=each) for each in (1.0, 2.0)]),
    level=1,
    scale_x=3.0,
    scale_y=2.0,
)
BATCH = 5

HELD = 100 * MIB
"""By the process before the run, the engine's batches included."""
WINDOW = 3 * 60 * 35 + 2 * 120 * 70
"""A window of 60 × 35 px in RGB, and the two planes that the network answers for 120 × 70 px."""
READING = 2 * 3 * 60 * 35 + 2 * 3 * 60 * 35 * 3 * 2 // 4
"""The window twice, and twice the px of level 1 that it is made of: 3 × 2 of level 0 each, so 6/4 of that level."""
VIEW = (300 + 96) * (200 + 96) * (14 + 3)
"""A first block with what lies 96 px around it on two sides: 14 bytes a px beside its three planes."""
KEPT = 3 * 110 * 60
"""Three planes of a core with 5 px more on each side."""
LEAST_CACHES = 8 * KEPT + 16 * MIB


class Recorder(fakes.DarkIsNucleus):
    """Remembers what it was asked."""

    def predict(self, windows: Windows) -> BodyBoundary:
        asked.append((windows.shape, int(windows.max())))
        return np.zeros((len(windows), 2, 120, 70), np.uint8)


asked: list[tuple[tuple[int, ...], int]] = []


@pytest.fixture(autouse=True)
def _held(monkeypatch: pytest.MonkeyPatch) -> None:
    def most_resident(job: Callable[[], object]) -> int:
        job()
        return HELD

    asked.clear()
    monkeypatch.setattr("wsi_nucssl.segment.memory.most_resident", most_resident)


def shared(memory: int | None, workers: int = 4, plan: Plan = PLAN, mask_px: int = 100) -> Shares:
    tissue = TissueMask(np.ones((1, mask_px), np.bool_), 1.0, None)
    return shares(memory, workers, Recorder(), CANVAS, tissue, plan, fakes.model().info, BATCH)


def total(views: Views) -> int:
    """Bytes of all views together."""
    return views._allowance.total


def under_way(workers: int) -> int:
    """Each worker has three windows to read and three to store, and a view; 3 streams and one more hold a batch."""
    return (6 * workers + 4 * BATCH) * WINDOW + workers * (READING + VIEW)


def least_for(workers: int) -> int:
    """The least bound that so many fit into, when a sixteenth of it is left alone, and 16 MiB twice."""
    needed = HELD + 32 * MIB + under_way(workers) + LEAST_CACHES
    bound = needed * 16 // 15 - 20
    while bound - bound // 16 < needed:
        bound += 1
    return bound


def test_without_a_bound_a_worker_has_one_and_a_half_views_and_nothing_is_tried() -> None:
    free = shared(None)
    assert (free.workers, free.recent, free.tiles) == (4, 32, 64 * MIB)
    assert total(free.views) == 4 * VIEW * 3 // 2
    assert asked == []


def test_what_the_engine_holds_is_seen_with_a_batch_in_each_stream() -> None:
    shared(400 * MIB)
    assert asked == [((BATCH, 35, 60, 3), 0)] * 3


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_as_many_workers_are_at_work_as_fit(workers: int) -> None:
    assert shared(least_for(workers)).workers == workers
    assert shared(least_for(workers) - 1).workers == workers - 1
    assert shared(least_for(workers), workers=1).workers == 1


def test_too_little_for_one_worker_is_refused_and_what_is_said_to_be_needed_is_enough() -> None:
    assert shared(least_for(1)).workers == 1
    for memory in (1, 50 * MIB, least_for(1) - 1):
        with pytest.raises(UsageError) as error:
            shared(memory)
        found = re.search(
            r"memory. (\d+)M is too little: (\d+)M are needed.* hold (\d+)M", str(error.value.message)
        )
        assert found is not None
        assert int(found[1]) == -(-memory // MIB)
        needed = (HELD + 32 * MIB + memory // 16 + under_way(1) + LEAST_CACHES) * 16 / 15
        assert int(found[2]) == -(-int(needed) // MIB)
        assert error.value.remedy is not None
        enough = parse_bytes("memory", error.value.remedy.split()[-1])
        assert enough == int(found[2]) * MIB
        assert shared(enough).workers >= 1


def test_a_mask_that_needs_more_than_the_run_decides_what_is_enough() -> None:
    mask_px = 4 * MIB
    enough = HELD + 45 * mask_px
    assert enough > least_for(1)
    assert shared(enough, mask_px=mask_px).workers == 4
    with pytest.raises(UsageError, match="too little"):
        shared(enough - 1, mask_px=mask_px)


@pytest.mark.parametrize("more", [0, 5, 6 * MIB, 40 * MIB, 2000 * MIB])
def test_the_shares_add_up_to_the_bound(more: int) -> None:
    memory = least_for(4) + more
    found = shared(memory)
    parts = [HELD, 32 * MIB, memory // 16, under_way(4) - 4 * VIEW]
    parts += [found.recent * KEPT, found.tiles, total(found.views)]
    assert sum(parts) == memory
    assert total(found.views) >= 4 * VIEW


def test_of_what_is_left_a_third_remembers_windows_and_a_sixth_tiles() -> None:
    memory = least_for(4) + MIB
    left = memory - memory // 16 - (HELD + 32 * MIB + under_way(4) + LEAST_CACHES)
    found = shared(memory)
    assert found.recent == 8 + left // 3 // KEPT == 8 + 16
    assert found.tiles == 16 * MIB + left // 6


def test_caches_grow_no_further_than_they_are_of_use() -> None:
    """Four rows of windows, or the 32 that a run without a bound remembers; 64 MiB of tiles."""
    found = shared(1000 * MIB)
    assert (found.recent, found.tiles) == (4 * GRID.cols, 64 * MIB) == (40, 64 * MIB)
    narrow = Size(300, 400)
    grid = replace(GRID, extent=narrow)
    few = shared(1000 * MIB, plan=replace(PLAN, extent=narrow, windows=grid, blocks=TileGrid(narrow, narrow)))
    assert (few.recent, few.tiles) == (32, 64 * MIB)


def test_where_blocks_are_small_three_windows_are_held_rather_than_a_view() -> None:
    grid = WindowGrid(EXTENT, Size(400, 400), 10, upscale=2, blend=5)
    plan = replace(PLAN, windows=grid, blocks=TileGrid(EXTENT, Size(2, 2)))
    view, kept = 98 * 98 * 17, 3 * 410 * 410
    assert view < 3 * kept
    window = 3 * 210 * 210 + 2 * 420 * 420
    worker = 6 * window + 2 * 3 * 210 * 210 + 2 * 3 * 210 * 210 * 3 // 2 + 3 * kept
    needed = HELD + 32 * MIB + 4 * BATCH * window + 8 * kept + 16 * MIB
    one, two = (-(-(needed + workers * worker) * 16 // 15) for workers in (1, 2))
    assert shared(one + 2, plan=plan).workers == 1
    assert shared(two - 2, plan=plan).workers == 1
    assert shared(two + 2, plan=plan).workers == 2
    with pytest.raises(UsageError):
        shared(one - 2, plan=plan)
