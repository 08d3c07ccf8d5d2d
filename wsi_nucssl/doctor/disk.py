"""Places that are written to: temporary files, results beside the working folder, and the cache."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsi_nucssl.doctor.finding import Check, Finding, doubtful, faulty, fine
from wsi_nucssl.engines.cache import ENVIRONMENT, cache_folder
from wsi_nucssl.errors import OutputError, ResourceError

_LEAST_BYTES: Final = 100 * 10**6
_ENOUGH_BYTES: Final = 2 * 10**9


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder that is to be written to.

    Attributes
    ----------
    writable : bool
        Whether a file can be made in it.
    free : int
        Bytes.
    needed : bool
        Whether work fails without it.
    remedy : str
        How another place is chosen.
    """

    writable: bool
    free: int
    needed: bool
    remedy: str


def disk_of(folder: Path, *, needed: bool, remedy: str) -> Disk:
    """The facts of a folder, or of the nearest above it that is there."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return Disk(_takes_files(folder), shutil.disk_usage(folder).free, needed, remedy)


def _takes_files(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"doctor")
    except OSError:
        return False
    return True


def judge_disk(found: Disk) -> Finding:
    """It takes files, and there is room."""
    if not found.writable:
        what = "takes no files"
        return faulty(what, found.remedy, OutputError) if found.needed else doubtful(what, found.remedy)
    what = f"{found.free / 1e9:.1f} GB free"
    if found.free < _LEAST_BYTES and found.needed:
        return faulty(what, f"Free some space, or: {found.remedy}", ResourceError)
    if found.free < _ENOUGH_BYTES:
        return doubtful(what, f"Free some space, or: {found.remedy}")
    return fine(what)


def _disk(name: str, folder: Callable[[], Path], *, needed: bool, remedy: str) -> Check[Disk]:
    return Check(name, lambda: disk_of(folder(), needed=needed, remedy=remedy), judge_disk)


def _temporary() -> Path:
    """Not by `tempfile.gettempdir` alone, which takes the working folder where no other takes files."""
    return Path(os.environ.get("TMPDIR") or tempfile.gettempdir())


DISKS: Final = (
    _disk("disk: temporary", _temporary, needed=True, remedy="Set TMPDIR to a folder with room"),
    _disk("disk: here", Path.cwd, needed=False, remedy="Write to another disk with ⟨output⟩"),
    _disk("disk: cache", cache_folder, needed=False, remedy=f"Set {ENVIRONMENT} to a folder with room"),
)
