"""Command lines in processes of their own, forked from one that has everything imported: see `fork_server`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
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
        ended = int(self.fork_server.stdout.readline())
        print("thanks", file=self.fork_server.stdin, flush=True)
        return ended

    def kill(self, number: signal.Signals) -> int:
        os.kill(self.pid, number)
        return self.wait()


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
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    ) as server:

        def begin(*argv: object, **how: Any) -> Child:
            request = {"argv": [str(word) for word in argv], "log": str(log), **how}
            print(json.dumps(request), file=server.stdin, flush=True)
            assert server.stdout is not None
            return Child(int(server.stdout.readline()), log, server)

        yield begin
        assert server.stdin is not None
        server.stdin.close()
