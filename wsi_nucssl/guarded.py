"""Code that a hostile file can make crash, hang or swell runs in a process of its own, where it takes nothing along."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import subprocess
import sys
import weakref
from dataclasses import dataclass
from typing import Any, Final

SECONDS: Final = 10
MEMORY_BYTES: Final = 4 << 30
_START_SECONDS: Final = 60
_FAREWELL_SECONDS: Final = 5
_PIPE_BYTES: Final = 1 << 20
_SHARED_BYTES: Final = 1 << 24
"""What passes through memory instead of a pipe; only what is used of it is taken."""

_LIMITS: Final = """
import sys
try:
    import resource, signal
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm({seconds})
    resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
except (ImportError, ValueError, OSError):
    pass
"""
_TOO_LONG: Final = -int(getattr(signal, "SIGALRM", 14))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended.

    Attributes
    ----------
    code : int
        Its exit code, negative for a signal.
    said : bytes
        What it wrote to standard output.
    seconds : int
        What it was given.
    """

    code: int
    said: bytes
    seconds: int

    @property
    def fault(self) -> str:
        """What went wrong with the process itself, in words that follow "it"; empty if it ended of its own accord."""
        if self.code == 0:
            return ""
        if self.code == _TOO_LONG:
            return f"took longer than {self.seconds} s"
        if self.code < 0:
            return f"crashed (signal {-self.code}, {signal.strsignal(-self.code)})"
        return f"ended with code {self.code}"


def run_guarded(imports: str, code: str, *arguments: str, seconds: int = SECONDS) -> Ended:
    """Run Python code in a child, for so long and with 4 GiB at most; without POSIX, for a minute longer.

    Parameters
    ----------
    imports : str
        Lines that import what it needs, which take no time from it.
    code : str
        The rest; it finds its arguments in `sys.argv`.
    *arguments : str
        Given to it.
    seconds : int
        From when it has imported what it needs.
    """
    limits = _LIMITS.format(seconds=seconds, memory=MEMORY_BYTES)
    try:
        child = subprocess.run(
            [sys.executable, "-c", f"{imports}\n{limits}\n{code}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_START_SECONDS + seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ended(_TOO_LONG, b"", seconds)
    return Ended(child.returncode, child.stdout, seconds)


_SERVE: Final = """
import json, mmap, os, signal
_answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # what a library prints is no answer
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this one

def _allow(seconds):
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)

_shared = mmap.mmap({shared}, {shared_bytes}) if {shared} >= 0 else b""

def answer(said, data=b""):
    _allow(0)
    is_shared = 0 < len(data) <= len(_shared)
    if is_shared:
        _shared[:len(data)] = data
    _answers.write(json.dumps([said, len(data), is_shared]).encode() + b"\\n")
    if not is_shared:
        _answers.write(data)
    _answers.flush()

def requests():
    for line in sys.stdin.buffer:
        _allow({seconds})
        yield json.loads(line)
"""


class ChildEndedError(Exception):
    """The child is gone; `ended` says how."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.fault)
        self.ended = ended


class KeptChild:
    """A guarded child that answers one request after another, each in its time; for one thread at once.

    Its code calls `answer(said, data)`, once to begin with and once for each of `requests()`: `said` is anything that
    JSON holds, `data` are bytes. The child ends with this process, or with `close`.

    Parameters
    ----------
    imports, code, *arguments : str
        As `run_guarded` takes them.
    seconds : int
        The time of each answer.
    """

    def __init__(self, imports: str, code: str, *arguments: str, seconds: int = SECONDS) -> None:
        limits = _LIMITS.format(seconds=seconds, memory=MEMORY_BYTES)
        self._seconds = seconds
        memory = _shared_memory()
        serve = _SERVE.format(seconds=seconds, shared=memory, shared_bytes=_SHARED_BYTES)
        self._child = subprocess.Popen(
            [sys.executable, "-c", f"{imports}\n{limits}\n{serve}\n{code}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE_BYTES,
            pass_fds=(memory,) if memory >= 0 else (),
        )
        self._shared = memoryview(b"")
        if memory >= 0:
            self._shared = memoryview(mmap.mmap(memory, _SHARED_BYTES))
            os.close(memory)
        self._end = weakref.finalize(self, _end, self._child)

    def ask(self, *request: object) -> tuple[Any, bytes | memoryview]:
        """What it says to a request; the bytes are good until the next.

        Raises
        ------
        ChildEndedError
            It crashed, took too long, or was closed.
        """
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(request).encode() + b"\n")
            self._child.stdin.flush()
        except (OSError, ValueError):
            raise self._gone() from None
        return self.hear()

    def hear(self) -> tuple[Any, bytes | memoryview]:
        """What it says of its own accord, to begin with.

        Raises
        ------
        ChildEndedError
            It crashed, took too long, or was closed.
        """
        assert self._child.stdout is not None
        try:
            line = self._child.stdout.readline()
            if not line.endswith(b"\n"):
                raise self._gone()
            said, count, is_shared = json.loads(line)
            data = self._shared[:count] if is_shared else self._child.stdout.read(count)
        except (ValueError, TypeError):
            raise self._gone() from None
        if len(data) != count:
            raise self._gone()
        return said, data

    def _gone(self) -> ChildEndedError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(_FAREWELL_SECONDS)
        self.close()
        return ChildEndedError(Ended(self._child.returncode, b"", self._seconds))

    def close(self) -> None:
        """End it. Closing twice is fine."""
        self._end()


def _shared_memory() -> int:
    """A handle of memory that a child can be given; -1 where the system has no such thing."""
    if not hasattr(os, "memfd_create"):
        return -1
    memory = os.memfd_create("wsi-nucssl")
    os.truncate(memory, _SHARED_BYTES)
    return memory


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    child.wait()
