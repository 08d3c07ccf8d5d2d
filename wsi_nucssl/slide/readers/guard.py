"""OpenSlide meets a file for the first time in a process of its own, where a crash takes nothing along.

OpenSlide and what it builds on abort where a header lies about sizes, and some files keep them busy for ever. So a
child opens the file, reads a few pixels of every level, and says how it went: within ten seconds and 4 GiB. What the
child survives is opened here. A child takes 0.1 s, and what was tried is remembered until the file changes.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Final

from wsi_nucssl.errors import SlideError
from wsi_nucssl.guarded import MEMORY_BYTES, SECONDS, Ended, run_guarded

_CHILD: Final = """
path = sys.argv[1]
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


def knows(path: Path, *, seconds: int = SECONDS) -> bool:
    """True if OpenSlide takes the file for one of its own.

    Raises
    ------
    SlideError
        It crashes on the file, takes longer than so many seconds, or asks for more than 4 GiB.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise SlideError(f"it cannot be read: {error}", path=path, remedy="Check the path") from error
    ended = _tried(os.fspath(path), seconds, found.st_ino, found.st_size, found.st_mtime_ns)
    said = ended.said.strip()
    if not ended.fault and said in (b"fine", b"error", b"unknown"):
        return said != b"unknown"
    memory = f"asks for more than {MEMORY_BYTES >> 30} GiB of memory"
    raise SlideError(
        f"the file is damaged, or OpenSlide cannot cope with it: it {ended.fault or memory}",
        path=path,
        remedy="Copy or export the slide again; if it opens elsewhere, convert it there to tiled TIFF",
    )


@functools.lru_cache(maxsize=256)
def _tried(path: str, seconds: int, *_state: int) -> Ended:
    """How the child ended; remembered until the file changes."""
    return run_guarded("import openslide", _CHILD, path, seconds=seconds)
