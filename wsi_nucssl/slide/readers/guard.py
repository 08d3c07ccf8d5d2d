"""OpenSlide meets a file for the first time in a process of its own, where a crash takes nothing along.

OpenSlide and what it builds on abort where a header lies about sizes, and some files keep them busy for ever. So a
child opens the file, reads a few pixels of every level, and says how it went: within ten seconds and 4 GiB. What the
child survives is opened here. A child takes 0.1 s, and what was tried is remembered until the file changes.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from wsi_nucssl.errors import SlideError

_SECONDS: Final = 10
_START_SECONDS: Final = 60
_MEMORY_BYTES: Final = 4 << 30

_CHILD: Final = """
import sys
import openslide
path, seconds, memory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
try:
    import resource, signal
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(seconds)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
except (ImportError, ValueError, OSError):
    pass
try:
    if openslide.OpenSlide.detect_format(path) is None:
        print("unknown")
        sys.exit()
    slide = openslide.OpenSlide(path)
    for level, (width, height) in enumerate(slide.level_dimensions):
        downsample = slide.level_downsamples[level]
        for x, y in ((0, 0), (width // 2, height // 2)):
            slide.read_region((int(x * downsample), int(y * downsample)), level, (2, 2))
    list(slide.associated_images)
except MemoryError:
    print("memory")
except Exception:
    print("error")
else:
    print("fine")
"""
"""It prints "unknown" (no slide of OpenSlide's), "error" (OpenSlide says so, and will here), "memory" or "fine"."""


def knows(path: Path) -> bool:
    """True if OpenSlide takes the file for one of its own.

    Raises
    ------
    SlideError
        It crashes on the file, takes longer than ten seconds, or asks for more than 4 GiB.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise SlideError(f"it cannot be read: {error}", path=path, remedy="Check the path") from error
    code, said = _tried(os.fspath(path), found.st_ino, found.st_size, found.st_mtime_ns)
    if code == 0 and said in ("fine", "error", "unknown"):
        return said != "unknown"
    raise SlideError(
        f"the file is damaged, or OpenSlide cannot cope with it: it {_words(code, said)}",
        path=path,
        remedy="Copy or export the slide again; if it opens elsewhere, convert it there to tiled TIFF",
    )


@functools.lru_cache(maxsize=256)
def _tried(path: str, *_state: int) -> tuple[int, str]:
    """(exit code, what it said) of the child; -SIGALRM for one that did not end."""
    command = [sys.executable, "-c", _CHILD, path, str(_SECONDS), str(_MEMORY_BYTES)]
    try:
        child = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_START_SECONDS + _SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _TOO_LONG, ""
    return child.returncode, child.stdout.decode(errors="replace").strip()


_TOO_LONG: Final = -int(getattr(signal, "SIGALRM", 14))


def _words(code: int, said: str) -> str:
    if code == _TOO_LONG:
        return f"took longer than {_SECONDS} s to open"
    if said == "memory":
        return f"asks for more than {_MEMORY_BYTES >> 30} GiB of memory"
    if code < 0:
        return f"crashed on opening (signal {-code}, {signal.strsignal(-code)})"
    return f"ended with code {code} on opening"
