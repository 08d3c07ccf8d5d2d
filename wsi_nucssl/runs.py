"""Run directories: work that can die anywhere and go on where it was.

A run directory holds a manifest (everything that decides the result), the work done so far, and a lock for its one writer. It
is resumed only by a run with the same manifest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from wsi_nucssl.errors import OutputExists, RunMismatch
from wsi_nucssl.files import locked, remove_tree, write_atomic

MANIFEST: Final = "manifest.json"
_LOCK: Final = ".lock"

Manifest = Mapping[str, Any]
"""JSON values by name; the order does not matter."""


def digest(manifest: Manifest) -> str:
    """Short hash of a manifest's content."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]


@contextlib.contextmanager
def run_directory(path: Path, manifest: Manifest, *, resume: bool, overwrite: bool) -> Iterator[Path]:
    """Create, resume or replace the run at `path` and hold its lock.

    Raises
    ------
    OutputExists : something is there and neither `resume` nor `overwrite` was asked for, or it is not a run of ours.
    RunMismatch : `resume`, but the run was made with another manifest; the message names what differs.
    OutputLocked : another process is at work there.
    """
    with locked(path):
        _settle(path, manifest, resume=resume, overwrite=overwrite)
        yield path


def _settle(path: Path, manifest: Manifest, *, resume: bool, overwrite: bool) -> None:
    here = path / MANIFEST
    contents = [entry for entry in path.iterdir() if entry.name != _LOCK]
    if not here.exists() and contents:
        raise OutputExists(
            "the folder holds other files and no run", path=path, remedy="Choose a new or empty folder"
        )
    if here.exists():
        if overwrite:
            _empty(contents)
        elif resume:
            _check_same(path, json.loads(here.read_text()), manifest)
            return
        else:
            raise OutputExists(
                "a run is there already",
                path=path,
                remedy="Add --resume to go on with it or --overwrite to start again",
            )
    write_atomic(here, json.dumps(manifest, indent=2, sort_keys=True))


def _empty(contents: list[Path]) -> None:
    for entry in contents:
        if entry.is_dir() and not entry.is_symlink():
            remove_tree(entry)
        else:
            entry.unlink()


def _check_same(path: Path, was: Manifest, now: Manifest) -> None:
    now = json.loads(json.dumps(now))
    different = sorted(key for key in {*was, *now} if was.get(key) != now.get(key))
    if different:
        changes = "; ".join(f"{key}: was {was.get(key)!r}, now {now.get(key)!r}" for key in different)
        raise RunMismatch(
            f"the run was made with other settings ({changes})",
            path=path,
            remedy="Use the same settings to resume, or --overwrite to start again",
        )
