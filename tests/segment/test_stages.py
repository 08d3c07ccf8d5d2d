"""The stages alone, one after another, give what the threads give; the executor keeps its promises."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.segment import fakes
from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.errors import Stopped
from wsi_nucssl.geometry import Box, Mpp
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.runs import StopRequest
from wsi_nucssl.segment import stages
from wsi_nucssl.segment.executor import SlideProgress, SlideWork, run_in_threads
from wsi_nucssl.segment.memory import Views
from wsi_nucssl.segment.plan import make_plan
from wsi_nucssl.segment.probabilities import NotPredicted, ProbabilityStore
from wsi_nucssl.slide import RGB, Canvas, TissueMask, open_slide
from wsi_nucssl.slide.canvas import Retouch

CONFIG = fakes.model().info.instances


@pytest.fixture
def work(tissue: RGB, tmp_path: Path) -> Iterator[Callable[..., SlideWork]]:
    """A slide of 20 windows and 12 blocks, to be done in a folder of its own."""
    slide = open_slide(fakes.write_slide(tmp_path / "slide.tif", tissue[:700, :900]))

    def begin(folder: str, **change: Any) -> SlideWork:
        canvas, everywhere = Canvas(slide, Mpp.square(0.25)), TissueMask.everywhere(slide)
        plan = make_plan(canvas, everywhere, core=192, block_px=256)
        made = SlideWork(
            canvas=canvas,
            tissue=everywhere,
            plan=plan,
            engine=fakes.DarkIsNucleus(),
            config=CONFIG,
            store=ProbabilityStore(tmp_path / folder / "windows.zarr", plan.windows, plan.selected),
            blocks=tmp_path / folder / "blocks",
            batch_size=3,
            views=Views(1 << 30, planes=3),
        )
        return replace(made, **change)

    with slide:
        yield begin


def in_threads(work: SlideWork, **how: Any) -> list[Nuclei]:
    how = {"workers": 2, "stop": StopRequest(), **how}
    return list(run_in_threads(work, how.pop("progress", SlideProgress()), **how))


def same(one: Nuclei, other: Nuclei) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in Nuclei.__slots__)


def test_one_stage_after_another_gives_the_same_bytes(work: Callable[..., SlideWork]) -> None:
    threads, alone = work("threads"), work("alone")
    plan = alone.plan
    stages.predict_windows(
        alone.read_rgb, plan.windows, alone.engine, plan.selected, alone.store.write, batch_size=5
    )
    counts = [
        stages.extract(alone.store.read, block, plan.box, CONFIG, alone.block_path(block))
        for block in reversed(plan.active)
    ]
    tables = in_threads(threads)
    assert [len(table) for table in tables] == counts[::-1]
    assert sum(counts) > 50
    for block, table in zip(plan.active, tables, strict=True):
        assert same(table, Nuclei.load(alone.block_path(block)))
        assert alone.block_path(block).read_bytes() == threads.block_path(block).read_bytes()


def test_a_store_in_another_process_is_the_same_store(work: Callable[..., SlideWork]) -> None:
    """What is known to be there travels; what is not there yet is still missed."""
    made = work("one")
    plan, store = made.plan, made.store
    first = plan.selected[: len(plan.selected) // 2]
    stages.predict_windows(made.read_rgb, plan.windows, made.engine, first, store.write)
    there = pickle.loads(pickle.dumps(store))
    assert [tile.core for tile in there.missing()] == [tile.core for tile in store.missing()]
    inside = first[0].core.grow(-32)
    assert np.array_equal(there.read(inside), store.read(inside))
    with pytest.raises(NotPredicted):
        there.read(plan.box)


@dataclass(frozen=True)
class Counting(fakes.DarkIsNucleus):
    """Takes note of the shape of each batch."""

    def predict(self, windows: Windows) -> BodyBoundary:
        batches.append(windows.shape)
        return fakes.DarkIsNucleus.predict(self, windows)


batches: list[tuple[int, ...]] = []


def test_each_window_goes_through_the_network_once_in_batches_of_one_shape(
    work: Callable[..., SlideWork],
) -> None:
    batches.clear()
    made = work("one", engine=Counting())
    progress = SlideProgress()
    in_threads(made, progress=progress)
    windows = len(made.plan.selected)
    assert len({*batches}) == 1
    assert batches[0][0] == made.batch_size
    assert len(batches) == -(-windows // made.batch_size)
    assert (progress.windows, progress.windows_done) == (windows, windows)
    assert progress.blocks == progress.blocks_done == len(made.plan.active)
    batches.clear()
    again = SlideProgress()
    in_threads(made, progress=again)
    assert not batches
    assert again.nuclei == progress.nuclei > 50


def test_tables_come_in_raster_order_whatever_is_there_already(work: Callable[..., SlideWork]) -> None:
    made = work("one")
    expected = in_threads(made)
    for block in made.plan.active[1::2]:
        made.block_path(block).unlink()
    again = in_threads(made, workers=5)
    assert all(same(one, other) for one, other in zip(expected, again, strict=True))


def test_it_stops_when_asked_and_ends_its_threads(work: Callable[..., SlideWork]) -> None:
    made, stop, before = work("one"), StopRequest(), {*threading.enumerate()}
    progress = SlideProgress()

    def ask(progress: SlideProgress) -> None:
        if progress.windows_done:
            stop.signal = 15

    with pytest.raises(Stopped):
        in_threads(made, stop=stop, progress=progress, on_progress=ask)
    assert not {*threading.enumerate()} - before
    assert 0 < progress.windows_done < progress.windows


def test_readers_run_only_so_far_ahead(work: Callable[..., SlideWork]) -> None:
    """While the network is busy with its first batches, no more windows are read than may be in flight."""
    read: list[object] = []
    most: list[int] = []

    @dataclass(frozen=True)
    class Slow(fakes.DarkIsNucleus):
        def predict(self, windows: Windows) -> BodyBoundary:
            if not most:
                threading.Event().wait(0.3)
                most.append(len(read))
            return fakes.DarkIsNucleus.predict(self, windows)

        @property
        def streams(self) -> int:
            return 1

    made = work("one", engine=Slow(), batch_size=1)

    class Noted(Canvas):
        def read(self, box: Box, retouch: Retouch | None = None) -> RGB:
            read.append(box)
            return super().read(box, retouch)

    in_threads(replace(made, canvas=Noted(made.canvas.slide, Mpp.square(0.25))), workers=1)
    assert 1 < most[0] <= 3 + 2 + 1 < len(made.plan.selected)


def test_a_window_of_zeros_is_kept_by_a_store_that_was_opened_again(work: Callable[..., SlideWork]) -> None:
    begun = work("again").store
    tile = begun.selected[0]
    nothing = np.zeros((len(begun.schema.stored), *begun.grid.kept_size.shape_rc), np.uint8)
    ProbabilityStore(begun.path, begun.grid, begun.selected).write(tile, nothing)
    resumed = ProbabilityStore.resume(begun.path, begun.grid, begun.selected)
    assert tile not in resumed.missing()
    assert not resumed.read(Box(0, 0, 16, 16)).any()
