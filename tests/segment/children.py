"""Command lines in processes of their own, forked from one that has everything imported: see `fork_server`."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Child:
    """A command line that runs in a process of its own."""

    pid: int
    log: Path
    fork_server: Any

    def wait(self) -> int:
        status = int(self.fork_server.stdout.readline())
        self.fork_server.stdin.write(b"thanks\n")
        return status

    def has_ended(self) -> bool:
        return bool(select.select([self.fork_server.stdout], [], [], 0)[0])

    def kill(self, number: signal.Signals) -> int:
        os.kill(self.pid, number)
        return self.wait()

    def kill_when(self, happened: Callable[[], bool], number: signal.Signals = signal.SIGKILL) -> int:
        """Send the signal once it happened; the status is the child's own if it ended before."""
        while not happened() and not self.has_ended():
            time.sleep(0.002)
        return self.kill(number)


def files_in(folder: Path) -> int:
    """How many files lie in a folder that somebody is at work in: how far a run is, whatever the machine's speed."""
    return sum(len(files) for _, _, files in os.walk(folder))


@contextmanager
def fork_server(slide: Path, log: Path, *sites: Path) -> Iterator[Callable[..., Child]]:
    """Gives what begins `wsi-nucssl` with some arguments, the engine double in place of a network.

    Parameters
    ----------
    slide : Path
        A slide to warm up with.
    log : Path
        Takes what a command prints.
    sites : Path
        Folders with installed packages.
    """
    paths = os.pathsep.join(map(str, [*sites, ROOT, ROOT / "cli"]))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.segment.fork_server", slide],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,  # a status that was written is in the pipe, where `has_ended` sees it
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    ) as server:

        def begin(*argv: object, **how: Any) -> Child:
            request = {"argv": [str(word) for word in argv], "log": str(log), **how}
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps(request).encode() + b"\n")
            return Child(int(server.stdout.readline()), log, server)

        yield begin
        assert server.stdin is not None
        server.stdin.close()
