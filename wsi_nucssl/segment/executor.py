"""The stages of a slide in threads of this process, all at once and in bounded memory.

Readers work ahead of the engine; what it predicted is stored, a block is extracted as soon as the windows around it are
there, and its nuclei are given on in raster order, all while the engine goes on. Results do not depend on that timing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import ParamSpec, Protocol, TypeVar

from wsi_nucssl.engines.base import Engine
from wsi_nucssl.errors import InputError
from wsi_nucssl.grid import Tile
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.runs import StopRequest
from wsi_nucssl.segment import stages
from wsi_nucssl.segment.memory import IN_FLIGHT, Views
from wsi_nucssl.segment.plan import HALO, Plan
from wsi_nucssl.segment.probabilities import NotPredicted, ProbabilityStore
from wsi_nucssl.segment.windows import ReadRGB, WindowGrid
from wsi_nucssl.slide import Canvas, TissueMask
from wsi_nucssl.threads import prefetch, thread_pool

P = ParamSpec("P")
Out = TypeVar("Out")


@dataclass(slots=True)
class SlideProgress:
    """How far a slide is."""

    windows: int = 0
    windows_done: int = 0
    blocks: int = 0
    blocks_done: int = 0
    nuclei: int = 0
    network_seconds: float = 0.0


OnProgress = Callable[[SlideProgress], None]


@dataclass(frozen=True, slots=True)
class SlideWork:
    """What there is to do for one slide: everything that the stages need, and all that decides what they make.

    Attributes
    ----------
    canvas : Canvas
        The slide, in input px.
    tissue : TissueMask
        Where its tissue is, and what lies outside the scan.
    plan : Plan
        How the slide is cut.
    engine : Engine
        Predicts windows.
    config : InstanceConfig
        How nuclei are extracted.
    store : ProbabilityStore
        Takes the probabilities and gives them back.
    blocks : Path
        Folder of extracted blocks, one table a block; one that is there, whole, is done.
    batch_size : int
        Windows at a time.
    views : Views
        Gives out what blocks read.
    """

    canvas: Canvas
    tissue: TissueMask
    plan: Plan
    engine: Engine
    config: InstanceConfig
    store: ProbabilityStore
    blocks: Path
    batch_size: int
    views: Views

    @property
    def read_rgb(self) -> ReadRGB:
        """Reads input px as the network is to see them: what lies outside the scan is glass."""
        return self.tissue.painted(self.canvas)

    def block_path(self, block: Tile) -> Path:
        """Where the nuclei of a block are kept."""
        return self.blocks / stages.block_name(block)

    def table(self, block: Tile) -> Nuclei:
        """The nuclei of a block that was extracted.

        Raises
        ------
        InputError
            They are not there yet, damaged, or those of another block.
        """
        return Nuclei.load(self.block_path(block), (block.row, block.col))

    def found_earlier(self, progress: SlideProgress) -> FoundEarlier:
        """What an earlier run left; `progress` begins there."""
        missing, finished, todo = self.store.missing(), set[Tile](), deque[Tile]()
        for block in self.plan.active:
            try:
                progress.nuclei += len(self.table(block))
            except InputError:
                todo.append(block)
            else:
                finished.add(block)
        progress.windows, progress.blocks = len(self.plan.selected), len(self.plan.active)
        progress.windows_done, progress.blocks_done = progress.windows - len(missing), len(finished)
        return FoundEarlier(missing, finished, todo)

    def is_ready(self, block: Tile) -> bool:
        """True if the windows that a block needs at first are there."""
        return self.store.has(block.core.grow(HALO).clip(self.plan.box))


@dataclass(frozen=True, slots=True)
class FoundEarlier:
    """What an earlier run left of a slide, and what it did not.

    Attributes
    ----------
    missing : sequence of Tile
        The windows that are not predicted, in raster order.
    finished : set of Tile
        The blocks with a whole table.
    todo : deque of Tile
        The other blocks, in raster order.
    """

    missing: Sequence[Tile]
    finished: set[Tile]
    todo: deque[Tile]


class Execute(Protocol):
    """Does the work of a slide and gives its tables on."""

    def __call__(
        self,
        work: SlideWork,
        progress: SlideProgress,
        *,
        workers: int,
        stop: StopRequest,
        on_progress: OnProgress,
    ) -> Generator[Nuclei, None, None]:
        """The tables of all blocks in raster order, each as soon as it and those before it are there.

        Predicts and extracts all that is not there yet, checks `stop` between batches and blocks, and keeps
        `progress` up to date. When the generator is closed, nothing of it is at work any longer.

        Raises
        ------
        SlideError
            A region cannot be read.
        ResourceError
            The disk is full.
        Stopped
            A signal asked to stop; everything finished so far is kept.
        """
        ...


def run_in_threads(
    work: SlideWork,
    progress: SlideProgress,
    *,
    workers: int,
    stop: StopRequest,
    on_progress: OnProgress = lambda _: None,
) -> Generator[Nuclei, None, None]:
    """An `Execute` with `workers` threads that read, as many that store and extract, and the engine's own."""
    return _Threads(work, progress, workers, stop, on_progress).tables()


@dataclass(frozen=True, slots=True)
class PredictedBatch:
    """A batch that went through the network.

    Attributes
    ----------
    windows : list of PredictedWindow
        In the order of their tiles.
    seconds : float
        What the network took.
    """

    windows: list[stages.PredictedWindow]
    seconds: float


def predicted_in_threads(
    read_rgb: ReadRGB,
    grid: WindowGrid,
    engine: Engine,
    tiles: Iterable[Tile],
    *,
    batch_size: int,
    workers: int,
) -> Generator[PredictedBatch, None, None]:
    """Windows through the network in the order of their tiles, batch by batch, while others are read and predicted.

    Parameters
    ----------
    read_rgb : ReadRGB
        Reads input px of the canvas.
    grid : WindowGrid
        All windows.
    engine : Engine
        Predicts them, in as many threads as it has streams.
    tiles : iterable of Tile
        Those to predict.
    batch_size : int
        Windows at a time.
    workers : int
        Threads that read ahead of the engine.

    Yields
    ------
    PredictedBatch
        One after another. When the generator is closed, its threads have ended.
    """

    def seen(tile: Tile) -> stages.SeenWindow:
        return stages.read(read_rgb, grid, tile)

    def predicted(batch: list[stages.SeenWindow]) -> PredictedBatch:
        begun = perf_counter()
        windows = stages.predict(engine, batch, batch_size)
        return PredictedBatch(windows, perf_counter() - begun)

    with thread_pool(workers) as reading, thread_pool(engine.streams) as predicting:
        windows = prefetch(reading, IN_FLIGHT * workers, seen, tiles)
        yield from prefetch(predicting, engine.streams + 1, predicted, _batches(windows, batch_size))


@dataclass(frozen=True, slots=True)
class _Threads:
    work: SlideWork
    progress: SlideProgress
    workers: int
    stop: StopRequest
    on_progress: OnProgress

    def tables(self) -> Generator[Nuclei, None, None]:
        earlier = self.work.found_earlier(self.progress)
        coming = deque(self.work.plan.active)
        with thread_pool(self.workers) as finishing:
            finishers = _Finishers(finishing, IN_FLIGHT * self.workers, self.progress, earlier.finished)
            yield from self._wave(earlier.missing, earlier.todo, coming, finishers)
            while finishers.put_off:
                reserve = finishers.absent()
                assert reserve, f"blocks that wait for nothing: {finishers.put_off}"
                self.progress.windows += len(reserve)
                yield from self._wave(reserve, deque(), coming, finishers)
        assert not coming, f"blocks that nobody extracted: {[*coming]}"

    def _wave(
        self, tiles: Sequence[Tile], todo: deque[Tile], coming: deque[Tile], finishers: _Finishers
    ) -> Iterator[Nuclei]:
        """Predict windows, and extract what they allow; blocks that need windows in reserve stay put off."""
        work, progress = self.work, self.progress
        batches = predicted_in_threads(
            work.read_rgb,
            work.plan.windows,
            work.engine,
            tiles,
            batch_size=work.batch_size,
            workers=self.workers,
        )
        with closing(batches):
            for predicted in batches:
                self.stop.check()
                progress.network_seconds += predicted.seconds / work.engine.streams
                for window in predicted.windows:
                    finishers.submit(self._keep, window)
                self._extract_ready(todo, finishers)
                yield from self._whole(coming, finishers)
        finishers.drain()
        for block in (*todo, *finishers.take_put_off()):
            finishers.submit(self._extract, block)
            yield from self._whole(coming, finishers)
        finishers.drain()
        yield from self._whole(coming, finishers)

    def _whole(self, coming: deque[Tile], finishers: _Finishers) -> Iterator[Nuclei]:
        """The tables at the head of `coming` that are finished; takes them off it."""
        finishers.collect()
        self.on_progress(self.progress)
        while coming and coming[0] in finishers.finished:
            self.stop.check()
            yield self.work.table(coming.popleft())

    def _extract_ready(self, todo: deque[Tile], finishers: _Finishers) -> None:
        """Begin the blocks, in raster order, whose windows are all there."""
        while todo and self.work.is_ready(todo[0]):
            finishers.submit(self._extract, todo.popleft())

    def _keep(self, window: stages.PredictedWindow) -> _Done:
        stages.keep(self.work.plan.windows, window, self.work.store.write)
        return _Done(windows=1)

    def _extract(self, block: Tile) -> _Done:
        """Extract one block; put it off if a nucleus reaches where nothing is predicted yet."""
        work = self.work
        path = work.block_path(block)
        try:
            with work.views.reader(work.store.read) as read:
                nuclei = stages.extract(
                    read, block, work.plan.box, work.config, path, part=work.plan.part_of(block)
                )
        except NotPredicted as error:
            return _Done(put_off=(block, error.absent))
        return _Done(block=block, nuclei=nuclei)


@dataclass(frozen=True, slots=True)
class _Done:
    """What a finished job came to."""

    windows: int = 0
    block: Tile | None = None
    nuclei: int = 0
    put_off: tuple[Tile, tuple[Tile, ...]] | None = None


class _Finishers:
    """Threads that store windows and extract blocks, with a bounded number of jobs in flight.

    Attributes
    ----------
    finished : set of Tile
        Blocks whose tables are there.
    put_off : list of (Tile, tuple of Tile)
        Blocks to begin again, each with the windows that were not there.
    """

    def __init__(
        self, pool: ThreadPoolExecutor, max_in_flight: int, progress: SlideProgress, finished: set[Tile]
    ) -> None:
        self._pool, self._max_in_flight, self._progress = pool, max_in_flight, progress
        self._pending: set[Future[_Done]] = set()
        self.finished = finished
        self.put_off: list[tuple[Tile, tuple[Tile, ...]]] = []

    def take_put_off(self) -> list[Tile]:
        """The blocks that were put off, which now are not."""
        blocks, self.put_off = [block for block, _ in self.put_off], []
        return blocks

    def absent(self) -> Sequence[Tile]:
        """The windows that blocks were put off for, in raster order."""
        absent = {(tile.row, tile.col): tile for _, tiles in self.put_off for tile in tiles}
        return [absent[place] for place in sorted(absent)]

    def submit(self, job: Callable[P, _Done], *args: P.args, **kwargs: P.kwargs) -> None:
        """Begin a job; wait first if too many are in flight. A job that failed earlier raises here."""
        while len(self._pending) >= self._max_in_flight:
            wait(self._pending, return_when=FIRST_COMPLETED)
            self.collect()
        self._pending.add(self._pool.submit(job, *args, **kwargs))

    def collect(self) -> None:
        """Take note of the jobs that have ended. One that failed raises here."""
        ended = {future for future in self._pending if future.done()}
        self._pending -= ended
        for future in ended:
            self._note(future.result())

    def drain(self) -> None:
        """Wait for every job."""
        wait(self._pending)
        self.collect()

    def _note(self, done: _Done) -> None:
        self._progress.windows_done += done.windows
        self._progress.nuclei += done.nuclei
        if done.block is not None:
            self._progress.blocks_done += 1
            self.finished.add(done.block)
        if done.put_off is not None:
            self.put_off.append(done.put_off)


def _batches(items: Iterator[Out], size: int) -> Iterator[list[Out]]:
    while batch := list(islice(items, size)):
        yield batch
