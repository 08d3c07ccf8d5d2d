"""The workers behind a dask client: who of them may work, how many tasks they take, and whether they still do."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from distributed import Client, Future
from distributed.client import ClosedClientError

from wsi_nucssl.cluster import TASK_S, tasks
from wsi_nucssl.cluster.facts import Facts, NetworkSpec, WorkerRefused
from wsi_nucssl.errors import ClusterError, SlideError

_SILENT_S: Final = 30.0
"""After so long without a worker that takes a task, somebody is told."""
_LOOK_S: Final = 3.0
_RESTART_S: Final = 15

Warn = Callable[[str], None]


class Pool:
    """The workers of a client. Safe from several threads, one a slide.

    Parameters
    ----------
    client : distributed.Client
        Stays the caller's to close.
    task_s : float
        Seconds after which a task that has not ended is taken from its worker, which is restarted or left out.
    warn : callable
        Is told of workers that are refused, and of tasks that nobody takes.
    keep_up : callable
        Is called every few seconds, to start workers in place of those that ended.
    """

    def __init__(
        self,
        client: Client,
        *,
        task_s: float = TASK_S,
        warn: Warn = lambda _: None,
        keep_up: Callable[[], object] = lambda: None,
    ) -> None:
        self.client, self._task_s, self._warn, self.keep_up = client, task_s, warn, keep_up
        self._refused: dict[str, str] = {}
        self._lock = threading.RLock()
        self._workers: dict[str, Mapping[str, Any]] = {}
        self._looked = self._busy = time.monotonic()
        self._told = False
        self._suspect: object = None
        self._quarantine = ""
        self._sent: dict[Any, frozenset[str] | None] = {}
        """Tasks that have not ended, each with the workers that it is bound to, if it is."""
        self._since: dict[tuple[str, Any], float] = {}
        """When each task was first seen at its worker."""
        self._hung: set[Any] = set()
        """Tasks that were taken from their workers, until their slide hears of it."""
        self._renew()

    def examine(self, network: NetworkSpec) -> Facts:
        """Open a network on every worker; what most of them are is what all have to be.

        Raises
        ------
        ClusterError
            There is no package of ours on the scheduler, or on any worker, or none of them can open the network.
        """
        self.require_package()
        with _answered():
            found = self.client.run(tasks.examine, network, on_error="return")
        usable = {where: facts for where, facts in found.items() if isinstance(facts, Facts)}
        if not usable:
            error = next(iter(found.values()), None)
            reason = error.reason if isinstance(error, WorkerRefused) else repr(error)
            raise ClusterError(
                f"no worker can open the network: {reason}",
                remedy="Give all workers the same environment and file system as this machine",
            )
        (facts, _), *_ = Counter(usable[where] for where in sorted(usable)).most_common(1)
        for where, other in found.items():
            if isinstance(other, Facts):
                difference = other.difference(facts)
                reason = f"would give other bytes: it has {difference}" if difference else ""
            else:
                reason = other.reason if isinstance(other, WorkerRefused) else repr(other)
            if reason:
                host = other.host if isinstance(other, Facts | WorkerRefused) else ""
                self.refuse(WorkerRefused(where, host, reason), self._refused, "")
        return facts

    def submit(
        self,
        run: Callable[..., Any],
        *arguments: Any,
        key: str,
        priority: int = 0,
        on_gpu: bool = False,
        refused: Mapping[str, str],
        alone: bool = False,
    ) -> Future[Any]:
        """Send a task to a worker that is not refused; one `alone` has a worker to itself, if there are two."""
        self.check()
        with self._lock:
            if alone:
                with _answered():
                    self._renew()  # others may have died a moment ago
            able = self._workers.keys() - self._refused.keys() - refused.keys()
            if alone:
                self._quarantine = min(able, default="")
                able = {self._quarantine}
            elif len(able) > 1:
                able = able - {self._quarantine}
            allowed = sorted(able) if able != self._workers.keys() else None
            self._sent[key] = None if allowed is None else frozenset(allowed)
            gpu = on_gpu and any("GPU" in each.get("resources", {}) for each in self._workers.values())
        return self.client.submit(
            run,
            *arguments,
            key=key,
            pure=False,
            priority=priority,
            workers=allowed,
            resources={"GPU": 1} if gpu else None,
        )

    def claim(self, suspect: object) -> bool:
        """True if no other task that a worker may have died of is at work; until `release`, none other is begun."""
        with self._lock:
            if self._suspect is None:
                self._suspect = suspect
            return self._suspect is suspect

    def release(self, key: Any, suspect: object = None) -> None:
        """A task has ended; if it was the suspect, its worker is there for all again."""
        with self._lock:
            self._sent.pop(key, None)
            self._hung.discard(key)
            if suspect is not None and self._suspect is suspect:
                self._suspect, self._quarantine = None, ""

    def cancel(self, futures: Iterable[Future[Any]]) -> None:
        """Give tasks up, if there is still somebody to tell."""
        if self.client.status == "running" and (given_up := [*futures]):
            self.client.cancel(given_up, force=True)

    def check(self) -> None:
        """See that the scheduler is there.

        Raises
        ------
        ClusterError
            It is not.
        """
        if self.client.status != "running":
            raise _gone()

    def refuse(self, refusal: WorkerRefused, by_slide: dict[str, str], slide: str) -> None:
        """Leave a worker out, for one slide or altogether.

        Raises
        ------
        SlideError, ClusterError
            None is left for this slide, or at all.
        """
        with self._lock:
            refused = by_slide if refusal.for_slide else self._refused
            if refusal.address not in refused:
                refused[refusal.address] = refusal.reason
                self._warn(f"worker {refusal.host} ({refusal.address}) is left out: it {refusal.reason}")
            self._renew()
            if not {*self._workers} - {*self._refused}:
                raise ClusterError(
                    f"no worker is left: the last {refusal.reason}",
                    remedy="Give all workers the same environment, file system and kind of processor",
                )
            if not {*self._workers} - {*self._refused} - {*by_slide}:
                raise SlideError(
                    f"no worker can read it: the last {refusal.reason}",
                    path=slide,
                    remedy="Put it where all workers see it under the same name",
                )

    @property
    def threads(self) -> int:
        """Tasks that all workers do at a time."""
        with self._lock:
            able = self._workers.keys() - self._refused.keys()
            return max(1, sum(int(self._workers[where]["nthreads"]) for where in able))

    @property
    def most_in_flight(self) -> int:
        """Tasks of one slide that are sent before one has ended: nobody waits, and nothing piles up."""
        return 2 * self.threads + 1

    def watch(self, running: Collection[Future[Any]]) -> tuple[list[Future[Any]], list[Future[Any]]]:
        """See whether all is well with a slide's tasks. The scheduler is asked every few seconds, for all slides.

        Returns
        -------
        hung, stranded : list of Future
            Tasks that have to be begun again: those that did not end, and those whose workers are all gone.
        """
        with self._lock:
            now = time.monotonic()
            if now - self._looked >= _LOOK_S:
                self._looked = now
                self._look(now)
            there = {key for _, key in self._since}
            waiting = [each for each in running if each.key not in self._hung]
            stranded = [each for each in waiting if self._is_stranded(each, there)]
            return [each for each in running if each.key in self._hung], stranded

    def _look(self, now: float) -> None:
        """Ask the scheduler who is there, and who has had which task for how long."""
        self.check()
        with _answered():
            self.keep_up()
            self._renew()
            processing: Mapping[str, Iterable[Any]] = self.client.processing()
        held = {(where, key) for where, keys in processing.items() for key in keys}
        self._since = {each: self._since.get(each, now) for each in held}
        self._tell_if_nobody_works(held or not self._sent, now)
        late = {
            (where, key)
            for (where, key), since in self._since.items()
            if key in self._sent
            and now - since > self._task_s  # how long others' tasks take is theirs to say
        }
        self._hung |= {key for _, key in late}
        self._end_hung({where for where, _ in late})

    def _is_stranded(self, future: Future[Any], there: set[Any]) -> bool:
        """True of a task that waits for workers of which none is left."""
        bound = self._sent.get(future.key)
        waits = future.status == "pending" and future.key not in there
        return bound is not None and waits and not bound & self._workers.keys()

    def _end_hung(self, hung: set[str]) -> None:
        """Restart the workers that hang, by their nannies; one without is left out."""
        for where in hung:
            self._warn(f"worker {where} has had a task for {self._task_s:.0f} s and is restarted")
            try:
                self.client.restart_workers([where], timeout=_RESTART_S, raise_for_error=False)
            except (ValueError, TimeoutError):
                self._refused[where] = "does not answer, and has no nanny that could restart it"
                self._warn(f"worker {where} {self._refused[where]}: it is left out")
        self._since = {each: since for each, since in self._since.items() if each[0] not in hung}

    def _tell_if_nobody_works(self, well: object, now: float) -> None:
        if well:
            self._busy, self._told = now, False
        elif now - self._busy > _SILENT_S and not self._told:
            self._told = True
            self._warn(
                f"for {now - self._busy:.0f} s no worker has taken a task ({len(self._workers)} are there); "
                "start workers that are as the others were, GPU included, or press Ctrl-C and resume later"
            )

    def _await_workers(self) -> None:
        """Wait for the first worker; say so if it takes long."""
        begun, told = time.monotonic(), False
        while not self._workers:
            self.check()
            if time.monotonic() - begun > _SILENT_S and not told:
                told = True
                self._warn(
                    f"the cluster has had no worker for {_SILENT_S:.0f} s: start some; waiting for them"
                )
            time.sleep(0.2)
            with _answered():
                self.keep_up()
                self._renew()

    def require_package(self) -> None:
        """See that there are workers, and that the scheduler and some of them can import this package.

        Raises
        ------
        ClusterError
            They cannot.
        """
        self._await_workers()
        try:  # each is asked, no task is sent: workers may be busy with what others want
            with _answered():
                self.client.run_on_scheduler(tasks.here)
                found = self.client.run(tasks.here, on_error="return")
        except (ImportError, AttributeError) as error:
            raise _without_package("the scheduler cannot", error) from error
        without = {where: each for where, each in found.items() if each != tasks.here()}
        if len(without) == len(found):
            raise _without_package("none of the workers can", next(iter(without.values()), "they are gone"))
        for where, why in without.items():
            reason = f"cannot import this package, or does not answer ({why})"
            self.refuse(WorkerRefused(where, where, reason), self._refused, "")

    def _renew(self) -> None:
        self._workers = dict(self.client.scheduler_info()["workers"])


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """What is asked of the scheduler within is answered, or the scheduler is gone."""
    try:
        yield
    except (OSError, ClosedClientError) as error:
        raise _gone() from error


def _gone() -> ClusterError:
    return ClusterError(
        "the scheduler is gone", remedy="Start it, and run the same command again with ⟨resume⟩"
    )


def _without_package(who: str, error: object) -> ClusterError:
    return ClusterError(
        f"{who} import this package ({error})",
        remedy="Install the same versions of wsi-nucssl and its requirements for scheduler and workers",
    )
