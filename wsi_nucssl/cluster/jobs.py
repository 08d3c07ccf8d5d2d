"""One slide's tasks on a pool: a bounded number in flight; begun again where a worker died, until it is their fault."""

from __future__ import annotations

import queue
import uuid
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from distributed import Future, KilledWorker

from wsi_nucssl.cluster.facts import WorkerRefused
from wsi_nucssl.cluster.pool import Pool
from wsi_nucssl.errors import SlideError
from wsi_nucssl.runs import StopRequest

_MOST_DEATHS: Final = 3
"""So often a task may be what its worker died of; from the second time on it runs beside no other suspect."""
_POLL_S: Final = 1.0
_FETCH_S: Final = 2.0

Out = TypeVar("Out")


@dataclass(frozen=True, eq=False, slots=True)
class Job(Generic[Out]):
    """A task of a slide.

    Attributes
    ----------
    run : callable
        A function of a module.
    arguments : tuple
        What it is given; travels.
    what : str
        Its name in messages: "the windows at row 3, column 5".
    first : bool
        It goes before those that are not.
    on_gpu : bool
        It wants a GPU where workers have some.
    """

    run: Callable[..., Out]
    arguments: tuple[Any, ...]
    what: str
    first: bool = False
    on_gpu: bool = False


class Jobs:
    """Tasks of one slide.

    Parameters
    ----------
    pool : Pool
        Where they run.
    slide : str
        Whose they are, in messages.
    stop : StopRequest
        Is checked while one waits.
    """

    def __init__(self, pool: Pool, slide: str, stop: StopRequest) -> None:
        self._pool, self._slide, self._stop = pool, slide, stop
        self._running: dict[Future[Any], Job[Any]] = {}
        self._ended: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._again: deque[Job[Any]] = deque()
        self._deaths: Counter[Job[Any]] = Counter()
        self._refused: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give up what has not ended."""
        running, self._running = {**self._running}, {}
        for future, job in running.items():
            self._pool.release(future.key, job)
        self._pool.cancel(running)

    @property
    def has_room(self) -> bool:
        """True if one more may be submitted."""
        return len(self) < self._pool.most_in_flight

    def __len__(self) -> int:
        return len(self._running) + len(self._again)

    def submit(self, job: Job[Any]) -> None:
        """Begin a job."""
        future = self._pool.submit(
            job.run,
            *job.arguments,
            key=f"{job.run.__name__}-{uuid.uuid4().hex}",
            priority=int(job.first),
            on_gpu=job.on_gpu,
            refused=self._refused,
            alone=self._deaths[job] > 0,
        )
        self._running[future] = job
        future.add_done_callback(self._ended.put)

    def ended(self) -> list[tuple[Job[Any], Any]]:
        """Wait until one or more have ended; returns them with their results.

        Raises
        ------
        SlideError
            A task ended its workers again and again, or did not end; or what it raised itself.
        ClusterError
            The scheduler is gone, or no worker is left.
        Stopped
            A signal asked to stop.
        """
        results: list[tuple[Job[Any], Any]] = []
        while not results and len(self):
            self._stop.check()
            self._begin_again()
            try:
                futures = [self._ended.get(timeout=_POLL_S)]
            except queue.Empty:
                futures = []
            while not self._ended.empty():
                futures.append(self._ended.get())
            for future in futures:
                if (job := self._running.pop(future, None)) is not None:
                    self._pool.release(future.key, job)
                    try:
                        results.extend(self._results(future, job))
                    finally:
                        future.release()  # or it is done again if its worker dies, for a run that may be gone
            hung, stranded = self._pool.watch(self._running)
            self._pool.cancel([*hung, *stranded])
            for future in (*hung, *stranded):
                self._pool.release(future.key, job := self._running.pop(future))
                if future in hung:
                    self._blame(job, "no end in time")
                else:
                    self._again.append(job)
        return results

    def _results(self, future: Future[Any], job: Job[Any]) -> list[tuple[Job[Any], Any]]:
        """The result of an ended future, if it is one; what can be done again is."""
        try:
            return [(job, future.result(timeout=_FETCH_S))]
        except TimeoutError:
            if future.status == "error":
                raise
            self._pool.cancel(
                [future]
            )  # its worker died before the result was fetched, and may be gone for good
            self._again.append(job)
        except KilledWorker:
            self._blame(job, "the worker ended")
        except WorkerRefused as refusal:
            self._pool.refuse(refusal, self._refused, self._slide)
            self._again.append(job)
        except (CancelledError, OSError):
            self._pool.check()
            if future.status not in ("cancelled", "lost"):
                raise
            self._again.append(job)
        return []

    def _blame(self, job: Job[Any], how: str) -> None:
        self._deaths[job] += 1
        if self._deaths[job] > _MOST_DEATHS:
            raise SlideError(
                f"{job.what}: {how}, {_MOST_DEATHS + 1} times",
                path=self._slide,
                remedy="Run this slide alone without ⟨cluster⟩ to see why; the workers' logs may say more",
            )
        self._again.append(job)

    def _begin_again(self) -> None:
        """Begin what has to be done again; of what a worker may have died of, one at a time, of all slides."""
        for _ in range(len(self._again)):
            job = self._again.popleft()
            if self._deaths[job] and not self._pool.claim(job):
                self._again.append(job)
            else:
                self.submit(job)
