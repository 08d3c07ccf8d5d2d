"""The stages of a slide on a pool of workers: the head keeps the books, and gives the tables on in raster order."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.cluster import tasks
from wsi_nucssl.cluster.facts import Facts, NetworkSpec
from wsi_nucssl.cluster.jobs import Job, Jobs
from wsi_nucssl.cluster.pool import Pool
from wsi_nucssl.cluster.work import SlideSpec, SourceSpec, appears, save_fill
from wsi_nucssl.engines.base import BodyBoundary
from wsi_nucssl.errors import InputError
from wsi_nucssl.grid import Tile
from wsi_nucssl.models.devices import Device
from wsi_nucssl.models.weights import Model
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.runs import StopRequest
from wsi_nucssl.segment.executor import FoundEarlier, OnProgress, SlideProgress, SlideWork
from wsi_nucssl.segment.run import Steps

LEAST_WINDOWS: Final = 4
"""Windows of a task: half a second of a CPU's, so that what a task costs is small beside it."""
MOST_WINDOWS: Final = 16
"""Windows of a task while there are many: neighbours share tiles of the slide, which another worker decodes again."""
_ROUNDS: Final = 4
"""Tasks of a worker's thread that the missing windows are to be enough for: towards the end tasks get smaller."""
_AGAIN_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class RemoteEngine:
    """The engine that every worker of a pool opens; this process needs neither its library nor its device."""

    pool: Pool = field(repr=False)
    network: NetworkSpec
    facts: Facts

    @classmethod
    def open(cls, pool: Pool, model: Model, device: Device, engine: str, views: int) -> Self:
        """Have it opened by the workers.

        Raises
        ------
        ClusterError
            None of them can.
        """
        network = NetworkSpec(model.path.absolute(), model.sha256, device, engine, views)
        return cls(pool, network, pool.examine(network))

    @property
    def name(self) -> str:
        """The workers' engine's."""
        return self.facts.engine

    @property
    def streams(self) -> int:
        """As many batches at a time as there are threads of workers."""
        return self.pool.threads

    @property
    def batch_px(self) -> int:
        """The workers' engine's."""
        return self.facts.batch_px

    @property
    def upscale(self) -> int:
        """The workers' engine's."""
        return self.facts.upscale

    def predict(self, windows: NDArray[np.uint8]) -> BodyBoundary:
        """See `Engine.predict`; the windows travel to a worker, so that whole slides do better by `run_on`."""
        key = f"infer-{uuid.uuid4().hex}"
        future = self.pool.submit(tasks.infer, self.network, windows, key=key, on_gpu=True, refused={})
        try:
            planes: BodyBoundary = future.result()
        finally:
            self.pool.release(key)
        return planes


def steps_on(pool: Pool, steps: Steps | None = None) -> Steps:
    """What a run does at each step, so that all but tissue and outputs is done by workers; else as in `steps`."""

    def opened(model: Model, device: Device, engine: str, views: int) -> RemoteEngine:
        return RemoteEngine.open(pool, model, device, engine, views)

    def execute(
        work: SlideWork,
        progress: SlideProgress,
        *,
        workers: int,  # noqa: ARG001 (of threads; the pool has its own)
        stop: StopRequest,
        on_progress: OnProgress,
    ) -> Generator[Nuclei, None, None]:
        return _OnPool(work, _spec(work), progress, on_progress).tables(stop)

    return replace(steps or Steps(), open_engine=opened, execute=execute, at_once=2)


def _spec(work: SlideWork) -> SlideSpec:
    """What travels with each task of a slide; what lies outside the scan is kept in the run folder."""
    engine, fill = work.engine, work.tissue.fill
    assert isinstance(engine, RemoteEngine)
    spec = SlideSpec(
        source=SourceSpec.of(work.canvas),
        network=engine.network,
        facts=engine.facts,
        store=work.store.path.absolute(),
        blocks=work.blocks.absolute(),
        grid=work.plan.windows,
        schema=work.store.schema,
        config=work.config,
        batch_size=work.batch_size,
        filled=fill is not None and len(fill.colours) > 0,
        token=uuid.uuid4().hex,
    )
    if fill is not None and spec.filled:
        save_fill(spec.fill, fill)
    return spec


@dataclass(slots=True)
class _OnPool:
    work: SlideWork
    spec: SlideSpec
    progress: SlideProgress
    on_progress: OnProgress
    predicting: dict[Job[Any], tuple[Tile, ...]] = field(default_factory=dict)
    extracting: dict[Job[Any], Tile] = field(default_factory=dict)
    put_off: list[Tile] = field(default_factory=list)
    reserve: set[tuple[int, int]] = field(default_factory=set)

    def tables(self, stop: StopRequest) -> Generator[Nuclei, None, None]:
        """See `Execute`."""
        work = self.work
        earlier = work.found_earlier(self.progress)
        missing, coming = deque(earlier.missing), deque(work.plan.active)
        self.reserve = {(tile.row, tile.col) for tile in work.plan.reserve}
        engine = work.engine
        assert isinstance(engine, RemoteEngine)
        with Jobs(engine.pool, str(work.canvas.slide.path), stop) as jobs:
            while coming:
                while jobs.has_room and (job := self._next(earlier, missing)) is not None:
                    jobs.submit(job)
                yield from self._whole(coming, earlier.finished, stop)
                for job, result in jobs.ended():
                    self._note(job, result, earlier, missing)

    def _whole(self, coming: deque[Tile], finished: set[Tile], stop: StopRequest) -> Iterator[Nuclei]:
        """The tables at the head of `coming` that are finished; takes them off it."""
        self.on_progress(self.progress)
        while coming and coming[0] in finished:
            stop.check()
            yield self._table(coming.popleft())

    def _table(self, block: Tile) -> Nuclei:
        """A table that a worker has written; shared file systems may show it late, or what was there before."""
        try:
            return self.work.table(block)
        except InputError:
            if not appears(self.work.block_path(block)):
                raise
        time.sleep(_AGAIN_S)
        return self.work.table(block)

    def _next(self, earlier: FoundEarlier, missing: deque[Tile]) -> Job[Any] | None:
        """What is to be done next: blocks that are ready before windows, blocks that were put off after all windows."""
        if earlier.todo and self.work.is_ready(earlier.todo[0]):
            return self._extraction(earlier.todo.popleft())
        if missing:
            size = windows_of_a_task(len(missing), self.work.engine.streams, self.work.batch_size)
            tiles = tuple(islice(missing, size))
            for _ in tiles:
                missing.popleft()
            job = Job(tasks.predict, (self.spec, tiles), _places("windows", tiles), on_gpu=True)
            self.predicting[job] = tiles
            return job
        if self.put_off and not self.predicting:
            return self._extraction(self.put_off.pop(0))
        return None

    def _extraction(self, block: Tile) -> Job[Any]:
        plan, store = self.work.plan, self.work.store
        reach = plan.reach_of(block)
        arguments = (self.spec, block, store.near(reach), store.noted(reach), plan.part_of(block))
        job = Job(tasks.extract, arguments, _places("block", (block,)), first=True)
        self.extracting[job] = block
        return job

    def _note(self, job: Job[Any], result: Any, earlier: FoundEarlier, missing: deque[Tile]) -> None:
        """Enter what a task came to."""
        if isinstance(result, tasks.Predicted):
            for tile in self.predicting.pop(job):
                self.work.store.note(tile, result.checksums[tile.row, tile.col])
                self.progress.windows_done += 1
            self.progress.network_seconds += result.seconds / self.work.engine.streams
            return
        block = self.extracting.pop(job)
        if result.nuclei is not None:
            earlier.finished.add(block)
            self.progress.blocks_done += 1
            self.progress.nuclei += result.nuclei
            return
        lost = self.work.store.forget(result.lost)
        missing.extendleft(reversed(lost))
        self.progress.windows_done -= len(lost)
        self._predict_reserve(result.absent, missing)
        self.put_off.append(block)

    def _predict_reserve(self, absent: Iterable[tuple[int, int]], missing: deque[Tile]) -> None:
        """Have windows predicted that were in reserve; the others are on their way."""
        wanted = [place for place in absent if place in self.reserve]
        self.reserve.difference_update(wanted)
        missing.extend(self.work.plan.windows.at(*place) for place in wanted)
        self.progress.windows += len(wanted)


def windows_of_a_task(missing: int, threads: int, batch_size: int) -> int:
    """How many of the missing windows the next task is to predict, where so many threads of workers do them."""
    return max(batch_size, min(MOST_WINDOWS, max(LEAST_WINDOWS, missing // (_ROUNDS * threads))))


def _places(what: str, tiles: tuple[Tile, ...]) -> str:
    where = ", ".join(f"row {tile.row}, column {tile.col}" for tile in tiles[:3])
    return f"the {what} at {where}{' …' if len(tiles) > 3 else ''}"
