"""Windows through the network and blocks out of its probabilities, all at once and in bounded memory.

Readers work ahead of the engine; what it predicted is stored, a block is extracted as soon as the windows around it are
there, and its nuclei are given on in raster order, all while the engine goes on. Results do not depend on that timing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Final, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.engines.base import Engine, predict_batch
from wsi_nucssl.errors import InputError
from wsi_nucssl.grid import Tile
from wsi_nucssl.nuclei.seams import extract_block
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.runs import StopRequest
from wsi_nucssl.segment.blending import keep_window
from wsi_nucssl.segment.plan import HALO, MAX_HALO, Plan
from wsi_nucssl.segment.probabilities import NotPredicted, ProbabilityStore
from wsi_nucssl.segment.windows import read_window
from wsi_nucssl.slide import Canvas
from wsi_nucssl.threads import prefetch, thread_pool

P = ParamSpec("P")
Out = TypeVar("Out")

_AHEAD: Final = 3
"""Jobs in flight for each worker: enough that none waits, few enough that memory stays small."""


@dataclass(slots=True)
class Progress:
    """How far a slide is."""

    windows: int = 0
    windows_done: int = 0
    blocks: int = 0
    blocks_done: int = 0
    nuclei: int = 0
    network_seconds: float = 0.0


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One slide's way from pixels to tables of nuclei.

    Attributes
    ----------
    canvas, plan : what is read, and how it is cut.
    store : takes the probabilities and gives them back.
    blocks : folder of extracted blocks, one table a block; one that is there, whole, is done.
    stop : checked between batches and blocks.
    progress : kept up to date by `tables`.
    """

    canvas: Canvas
    plan: Plan
    engine: Engine
    config: InstanceConfig
    store: ProbabilityStore
    blocks: Path
    batch_size: int
    workers: int
    stop: StopRequest
    on_progress: OnProgress = field(default=lambda _: None)
    progress: Progress = field(default_factory=Progress)

    def block_path(self, block: Tile) -> Path:
        """Where the nuclei of a block are kept."""
        return self.blocks / f"{block.row:05d}-{block.col:05d}.npz"

    def tables(self) -> Generator[Nuclei, None, None]:
        """The tables of all blocks in raster order, each as soon as it and those before it are there.

        Predicts and extracts all that is not there yet.

        Raises
        ------
        SlideError : a region cannot be read.
        ResourceError : the disk is full.
        Stopped : a signal asked to stop; everything finished so far is kept.
        """
        missing = self.store.missing()
        self.progress.windows, self.progress.blocks = len(self.plan.selected), len(self.plan.active)
        self.progress.windows_done = self.progress.windows - len(missing)
        finished, todo = self._look_for_blocks()
        coming = deque(self.plan.active)
        most = _AHEAD * self.workers
        streams = self.engine.streams
        with (
            thread_pool(self.workers) as reading,
            thread_pool(streams) as predicting,
            thread_pool(self.workers) as finishing,
        ):
            finishers = _Finishers(finishing, most, self.progress, finished)
            windows = prefetch(reading, most, self._read, missing)
            batches = _batches(windows, self.batch_size)
            for predicted in prefetch(predicting, streams + 1, self._predict, batches):
                self.stop.check()
                self.progress.network_seconds += predicted.seconds / streams
                for window in predicted.windows:
                    finishers.submit(self._finish_window, *window)
                self._extract_ready(todo, finishers)
                yield from self._whole(coming, finishers)
            finishers.drain()
            for block in (*todo, *finishers.put_off):
                finishers.submit(self._extract, block)
                yield from self._whole(coming, finishers)
            finishers.drain()
            yield from self._whole(coming, finishers)
        assert not coming, f"blocks that nobody extracted: {[*coming]}"

    def _whole(self, coming: deque[Tile], finishers: _Finishers) -> Iterator[Nuclei]:
        """The tables at the head of `coming` that are finished; takes them off it."""
        finishers.collect()
        self.on_progress(self.progress)
        while coming and coming[0] in finishers.finished:
            self.stop.check()
            yield Nuclei.load(self.block_path(coming.popleft()))

    def _look_for_blocks(self) -> tuple[set[Tile], deque[Tile]]:
        """The blocks with a whole table, and in raster order those without."""
        finished: set[Tile] = set()
        todo: deque[Tile] = deque()
        for block in self.plan.active:
            try:
                self.progress.nuclei += len(Nuclei.load(self.block_path(block)))
            except InputError:
                todo.append(block)
            else:
                finished.add(block)
        self.progress.blocks_done = len(finished)
        return finished, todo

    def _read(self, tile: Tile) -> tuple[Tile, NDArray[np.uint8]]:
        return tile, read_window(self.canvas.read, tile, self.plan.windows)

    def _predict(self, batch: list[tuple[Tile, NDArray[np.uint8]]]) -> _Predicted:
        begun = perf_counter()
        planes = predict_batch(self.engine, [pixels for _, pixels in batch], self.batch_size)
        windows = [(tile, pixels, each) for (tile, pixels), each in zip(batch, planes, strict=True)]
        return _Predicted(windows, perf_counter() - begun)

    def _finish_window(self, tile: Tile, pixels: NDArray[np.uint8], planes: NDArray[np.uint8]) -> _Done:
        """Store what is kept of a predicted window."""
        self.store.write(tile, keep_window(self.plan.windows, tile, pixels, planes))
        return _Done(windows=1)

    def _extract_ready(self, todo: deque[Tile], finishers: _Finishers) -> None:
        """Begin the blocks, in raster order, whose windows are all there."""
        while todo and self.store.has(todo[0].core.grow(HALO).clip(self.plan.box)):
            finishers.submit(self._extract, todo.popleft())

    def _extract(self, block: Tile) -> _Done:
        """Extract one block and keep its table; put it off if a nucleus reaches where nothing is predicted yet."""
        extent = self.plan.box
        try:
            nuclei = extract_block(
                self.store.read, block.core, extent, self.config, halo=HALO, max_halo=MAX_HALO
            )
        except NotPredicted:
            return _Done(put_off=block)
        nuclei.save(self.block_path(block))
        return _Done(block=block, nuclei=len(nuclei))


@dataclass(frozen=True, slots=True)
class _Predicted:
    """A batch that went through the network: each window's tile, RGB and probabilities, and the seconds it took."""

    windows: list[tuple[Tile, NDArray[np.uint8], NDArray[np.uint8]]]
    seconds: float


@dataclass(frozen=True, slots=True)
class _Done:
    """What a finished job came to."""

    windows: int = 0
    block: Tile | None = None
    nuclei: int = 0
    put_off: Tile | None = None


class _Finishers:
    """Threads that store windows and extract blocks, with a bounded number of jobs in flight.

    Attributes
    ----------
    finished : blocks whose tables are there.
    put_off : blocks to begin again when every window is there.
    """

    def __init__(self, pool: ThreadPoolExecutor, most: int, progress: Progress, finished: set[Tile]) -> None:
        self._pool, self._most, self._progress = pool, most, progress
        self._pending: set[Future[_Done]] = set()
        self.finished = finished
        self.put_off: list[Tile] = []

    def submit(self, job: Callable[P, _Done], *args: P.args, **kwargs: P.kwargs) -> None:
        """Begin a job; wait first if too many are in flight. A job that failed earlier raises here."""
        while len(self._pending) >= self._most:
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
