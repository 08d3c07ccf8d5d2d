"""Code that a hostile file can make crash, hang or swell runs in a process of its own, where it takes nothing along."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

SECONDS: Final = 10
MEMORY_BYTES: Final = 4 << 30
_START_SECONDS: Final = 60

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
