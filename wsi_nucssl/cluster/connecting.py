"""From what a person types to a dask client: workers on this machine, a scheduler that runs, or a batch system."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

import dask
from distributed import Client, LocalCluster
from distributed.core import Status

from wsi_nucssl.checks import shown, whole
from wsi_nucssl.cluster import TASK_S
from wsi_nucssl.cluster.cores import WORKERS
from wsi_nucssl.cluster.pool import Pool, Warn
from wsi_nucssl.errors import ClusterError, UsageError

KINDS: Final = (
    "local:N, tcp://HOST:PORT, a scheduler's .json file, or slurm:N, sge:N, pbs:N, lsf:N, kubernetes:N"
)
_BATCH_SYSTEMS: Final = {
    "slurm": ("dask_jobqueue", "SLURMCluster"),
    "sge": ("dask_jobqueue", "SGECluster"),
    "pbs": ("dask_jobqueue", "PBSCluster"),
    "lsf": ("dask_jobqueue", "LSFCluster"),
    "htcondor": ("dask_jobqueue", "HTCondorCluster"),
    "kubernetes": ("dask_kubernetes.operator", "KubeCluster"),
}
_PROTOCOLS: Final = ("tcp://", "tls://", "ucx://", "ws://", "wss://")
_CONNECT_S: Final = 30
_SETTINGS: Final = {
    "distributed.scheduler.allowed-failures": 0,  # of a cluster of ours: who is to blame is found out by `Jobs`
    "distributed.comm.timeouts.connect": "15s",
    "distributed.deploy.lost-worker-timeout": "8s",  # then another is started, where a nanny did not do so
    "distributed.admin.large-graph-warning-threshold": "1GiB",
    # dask would have each array that is let go handed back to the system: a fifth of the time of a slide is then its
    # page faults. What a worker holds is bounded by its caches.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    "distributed.worker.profile.enabled": False,
    # Each process looks at itself and at its event loop many times a second: 6 % of a core for two workers that do
    # nothing, and one tenth of that at these intervals.
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.cycle": "5s",
    "distributed.scheduler.active-memory-manager.start": False,  # results are counts, and nobody copies them
}


@contextlib.contextmanager
def pool_of(cluster: str | Client, *, task_s: float = TASK_S, warn: Warn = lambda _: None) -> Iterator[Pool]:
    """The workers of a cluster; what was started for it ends with it.

    Parameters
    ----------
    cluster : str or distributed.Client
        A client, which stays the caller's to close, or a text. `local:N` starts N worker processes that share this
        machine's cores; `tcp://HOST:PORT` and the path of a scheduler file join a scheduler that runs; `slurm:N` and
        the like submit N jobs by dask-jobqueue, as its own configuration says. Workers and jobs that end before the
        work does are replaced.
    task_s : float
        As `Pool` has it.
    warn : callable
        Likewise.

    Raises
    ------
    UsageError
        It is none of these, or a package is missing.
    ClusterError
        The scheduler does not answer.
    """
    if isinstance(cluster, Client):
        yield Pool(cluster, task_s=task_s, warn=warn)
        return
    if not isinstance(cluster, str):
        raise UsageError(f"⟨cluster⟩ {shown(cluster)} is no cluster", remedy=f"Give {KINDS}, or a client")
    kind, _, number = cluster.partition(":")
    with contextlib.ExitStack() as stack, dask.config.set(_SETTINGS):
        if cluster.startswith(_PROTOCOLS) or cluster.endswith(".json"):
            client = stack.enter_context(_client(cluster))
            yield Pool(client, task_s=task_s, warn=warn)
        elif kind == "local" or kind in _BATCH_SYSTEMS:
            count = _number(cluster, number)
            made = stack.enter_context(_local(count) if kind == "local" else _batch_system(kind, count))
            client = stack.enter_context(_client(made))
            yield Pool(client, task_s=task_s, warn=warn, keep_up=partial(_scale, made, count))
        else:
            raise UsageError(f"⟨cluster⟩ {cluster!r} is no cluster", remedy=f"Give {KINDS}")


def _number(cluster: str, text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"⟨cluster⟩ {cluster!r} does not say how many workers", remedy=f"Give {KINDS}")
    whole("cluster", int(text), 1, 100_000)
    return int(text)


@contextlib.contextmanager
def _client(address: Any) -> Iterator[Client]:
    where: dict[str, Any] = {"address": address}
    if isinstance(address, str) and address.endswith(".json"):
        if not Path(address).is_file():
            raise UsageError(
                f"⟨cluster⟩: there is no scheduler file {address}",
                remedy="Start a scheduler that writes it: dask scheduler --scheduler-file",
            )
        _check_scheduler_file(Path(address))
        where = {"scheduler_file": str(address)}
    try:
        client = Client(**where, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterError(
            f"the scheduler at {address} does not answer ({error})", remedy="Start it, or correct the address"
        ) from error
    try:
        yield client
    finally:
        with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
            client.close()


def _check_scheduler_file(path: Path) -> None:
    """See that it says where a scheduler is; dask itself takes a minute to fail on one that does not."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        content = None
    address = content.get("address") if isinstance(content, dict) else None
    if not (isinstance(address, str) and "://" in address):
        raise UsageError(
            f"⟨cluster⟩: {path} is no scheduler file",
            remedy="Give the one that dask scheduler --scheduler-file wrote",
        )


def _local(workers: int) -> LocalCluster:
    """Worker processes that share out this machine's cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=max(1, cores // workers),
        processes=True,
        memory_limit=0,  # what a worker holds is bounded by its caches; being killed for it would only repeat
        dashboard_address=":0",
        silence_logs="ERROR",
        preload=["wsi_nucssl.cluster.cores"],
        env={WORKERS: str(workers)},
    )


def _batch_system(kind: str, jobs: int) -> Any:
    """A cluster of a batch system, by the user's own configuration of dask-jobqueue or dask-kubernetes."""
    module, name = _BATCH_SYSTEMS[kind]
    try:
        made = getattr(importlib.import_module(module), name)()
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        raise UsageError(f"⟨cluster⟩ {kind} needs {package}", remedy=f"pip install {package}") from error
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{name} does not know what a job is to be: {error}",
            remedy=f"Describe it in ~/.config/dask/jobqueue.yaml, under jobqueue: {kind}:",
        ) from error
    if hasattr(made, "job_cls"):
        for name in ("asyncio", "tornado.application"):
            logging.getLogger(name).addFilter(_is_told_otherwise)
        made.new_spec = {**made.new_spec, "cls": _telling(made.new_spec["cls"])}
    _scale(made, jobs)
    return made


def _is_told_otherwise(record: logging.LogRecord) -> bool:
    """False of the tracebacks of a job that was not taken, of which an error of ours tells."""
    return "Command exited with non-zero exit code" not in record.getMessage()


def _telling(job: Any) -> Any:
    """A kind of job that keeps why its batch system did not take one; dask-jobqueue leaves that to a log."""

    class Telling(job):  # type: ignore[misc]
        refused: ClassVar[list[str]] = []

        async def start(self) -> None:
            try:
                await super().start()
            except (RuntimeError, OSError) as error:
                self.refused.append(str(error).rpartition("stderr:")[2].strip() or str(error))
                self.status = Status.failed  # or closing the cluster fails as long as it is remembered
                raise

    return Telling


def _scale(cluster: Any, count: int) -> None:
    """Have so many workers, or jobs of a batch system; those that ended are started again.

    A job that is not taken is tried again as long as others work.
    """
    kind = (getattr(cluster, "new_spec", None) or {}).get("cls")
    refused = getattr(kind, "refused", ())
    if refused and not cluster.scheduler_info["workers"]:
        raise ClusterError(
            f"the batch system takes no job: {refused[-1]}",
            remedy="See that you can submit one from here, and what ~/.config/dask/jobqueue.yaml asks for",
        )
    cluster.scale(**{"jobs" if hasattr(cluster, "job_cls") else "n": count})
