"""What takes seconds to make and can be made again, kept between runs in the user's cache folder.

Entries carry their own hash, so that a damaged one counts as none, and appear whole, so that two writers do not mind
each other. What was used longest ago goes when the folder grows too large. Where the folder takes no files, that costs
time only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path
from typing import Final

from wsi_nucssl.errors import OutputError, ResourceError
from wsi_nucssl.files import write_atomic

ENVIRONMENT: Final = "WSI_NUCSSL_CACHE"
_SUFFIX: Final = ".cached"
_LARGEST_BYTES: Final = 2 * 2**30
_DIGEST_BYTES: Final = 32


def cache_folder() -> Path:
    """Where entries are kept: $WSI_NUCSSL_CACHE, or the folder that the system has for such things."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base)) / "wsi-nucssl"  # noqa: PTH111 (leaves ~ where there is no home)


def cached(key: str) -> bytes | None:
    """The entry of that key; None if there is none, or it is damaged."""
    path = _path(key)
    try:
        content = path.read_bytes()
        os.utime(path)  # it was used just now
    except OSError:
        return None
    digest, entry = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return entry if hashlib.sha256(entry).digest() == digest else None


def keep(key: str, entry: bytes) -> None:
    """Write an entry, if that can be done."""
    path = _path(key)
    with contextlib.suppress(OSError, OutputError, ResourceError):
        write_atomic(path, hashlib.sha256(entry).digest() + entry)
        _make_room(path.parent)


def _path(key: str) -> Path:
    return cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}{_SUFFIX}"


def _make_room(folder: Path) -> None:
    """Remove what was used longest ago, until the rest is small enough."""
    entries = sorted(
        ((path.stat(), path) for path in folder.glob(f"*{_SUFFIX}")), key=_last_use, reverse=True
    )
    total = 0
    for stat, path in entries:
        total += stat.st_size
        if total > _LARGEST_BYTES:
            path.unlink(missing_ok=True)


def _last_use(entry: tuple[os.stat_result, Path]) -> float:
    return entry[0].st_mtime
