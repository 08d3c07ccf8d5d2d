"""A scheduler and workers in processes of their own, as a cluster has them, to be killed one by one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from distributed import Client

ROOT = Path(__file__).parent.parent.parent


def until(happened: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something; an assertion fails if it does not happen."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@dataclass
class Outer:
    """The processes of a cluster.

    Attributes
    ----------
    folder : Path
        Theirs: logs, and the scheduler file.
    env : dict
        What workers and scheduler see.
    """

    folder: Path
    env: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """What `--cluster` is given."""
        return self.folder / "scheduler.json"

    def scheduler(self, **env: str) -> subprocess.Popen[bytes]:
        """Start one."""
        self.file.unlink(missing_ok=True)
        process = self._start(
            "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(self.file), **env
        )
        until(lambda: self.file.exists() and self.file.stat().st_size)
        return process

    def worker(
        self, *options: str, nanny: bool = True, env: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[bytes]:
        """Start one, of one thread."""
        mode = "--nanny" if nanny else "--no-nanny"
        common = ("--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--death-timeout", "60", mode)
        folder = ("--local-directory", str(self.folder), "--scheduler-file", str(self.file))
        return self._start("worker", *common, *folder, *options, **env)

    def await_workers(self, count: int) -> None:
        """Wait until so many are there."""
        with Client(scheduler_file=str(self.file), set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)

    def head(self, *arguments: object, **env: str) -> subprocess.Popen[bytes]:
        """Begin a command line."""
        return self._run("head", [sys.executable, "-m", "tests.cluster.head", *map(str, arguments)], env)

    def said(self, name: str) -> str:
        """What the processes of a name have printed."""
        return "".join(log.read_text() for log in sorted(self.folder.glob(f"{name}-*.log")))

    def _start(self, kind: str, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        return self._run(kind, [sys.executable, "-m", "dask", kind, *arguments], env)

    def _run(self, name: str, words: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                words, stdout=log, stderr=subprocess.STDOUT, env={**self.env, **env}, start_new_session=True
            )
        self.processes.append(process)
        return process


def end(process: subprocess.Popen[Any], number: signal.Signals = signal.SIGKILL) -> None:
    """Kill a process and all that it started."""
    if process.poll() is None:
        os.killpg(process.pid, number)
    process.wait(30)


@contextmanager
def outer_cluster(folder: Path, env: dict[str, str]) -> Iterator[Outer]:
    """Processes that all end with the test."""
    folder.mkdir()
    outer = Outer(folder, env)
    try:
        yield outer
    finally:
        for process in outer.processes:
            end(process)
