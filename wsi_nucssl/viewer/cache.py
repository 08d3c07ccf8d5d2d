"""Tiles of nuclei, made once: kept in the run that made the nuclei, or in the user's cache folder.

Where they are kept is named for the file's bytes and the way they are made, so that another file never takes their
place. Each of their files is listed with its length and CRC-32C; if one of them is not as it was, they are made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import google_crc32c
import orjson

from wsi_nucssl.engines.cache import cache_folder
from wsi_nucssl.errors import OutputError, ResourceError
from wsi_nucssl.export.registry import EXPORTERS, format_of
from wsi_nucssl.files import atomic_path, remove_path
from wsi_nucssl.runs import is_run
from wsi_nucssl.segment.outputs import run_path
from wsi_nucssl.slide.fingerprint import identity

_MADE: Final = 2
"""How tiles are made: another number for other bytes."""
_LIST: Final = "files.json"
_KEPT: Final = 24
"""Folders in the user's cache; the one used longest ago goes first."""
_READ_AT_ONCE: Final = 1 << 22


def kept(path: Path, what: str, make: Callable[[Path], Any], *more: str) -> Path:
    """The folder that `make` fills for a file, made now unless it is there and whole.

    Parameters
    ----------
    path : Path
        The file of nuclei.
    what : str
        A word for what is made.
    make : callable
        Makes the folder that it is given, where nothing is yet.
    *more : str
        All else that decides the bytes.

    Raises
    ------
    OutputError, ResourceError
        They can be kept nowhere.
    """
    name = f"{what}-{_key(path, what, *more)}"
    places = _places(path)
    for place in places:
        if is_whole(place / name):
            with contextlib.suppress(OSError):  # of somebody else's
                os.utime(place / name)
            return place / name
    errors = []
    for place in places:
        try:
            with atomic_path(place / name) as partial:
                make(partial)
                _list_files(partial)
        except (OutputError, ResourceError) as error:
            errors.append(error)
            continue
        _make_room(place)
        return place / name
    raise errors[-1]


def is_whole(folder: Path) -> bool:
    """Whether a folder holds the files that were written, each as it was."""
    try:
        listed = orjson.loads((folder / _LIST).read_bytes())
        return all((folder / name).stat().st_size == size for name, (size, _) in listed.items()) and all(
            _checksum(folder / name) == crc for name, (_, crc) in listed.items()
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def key_of(path: Path) -> str:
    """What tells a file or folder from others, and from itself when it was changed."""
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file())
        return "\n".join(f"{each.relative_to(path)} {key_of(each)}" for each in files)
    status = path.stat()
    return f"{identity(path)} {status.st_size} {status.st_mtime_ns}"


def _key(path: Path, *more: str) -> str:
    return hashlib.sha256("\n".join((str(_MADE), key_of(path), *more)).encode()).hexdigest()[:16]


def _places(path: Path) -> list[Path]:
    """Where tiles may be kept, the best first."""
    stem = path.name.removesuffix(f".{format_of(path)}")
    outputs = (path, *(path.with_name(f"{stem}.{name}") for name in EXPORTERS.own_names))
    runs = [run for run in dict.fromkeys(map(run_path, outputs)) if is_run(run) and os.access(run, os.W_OK)]
    return [*(run / "viewer" for run in runs[:1]), cache_folder() / "viewer"]


def _list_files(folder: Path) -> None:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    listed = {file.relative_to(folder).as_posix(): (file.stat().st_size, _checksum(file)) for file in files}
    (folder / _LIST).write_bytes(orjson.dumps(listed))


def _checksum(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(_READ_AT_ONCE):
            crc = google_crc32c.extend(crc, piece)
    return crc


def _make_room(place: Path) -> None:
    """Drop what was used longest ago."""
    folders = [each for each in place.iterdir() if each.is_dir() and not each.name.startswith(".")]
    for old in sorted(folders, key=lambda each: each.stat().st_mtime, reverse=True)[_KEPT:]:
        remove_path(old)
