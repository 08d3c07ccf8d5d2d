"""Run directories: work that can die anywhere and go on where it was.

A run directory holds a manifest (everything that decides the result), the work done so far, and a lock for its one
writer. It is resumed only by a run with the same manifest. A run that is replaced stays until the new one is whole,
which is made beside it. Ctrl-C and SIGTERM are honoured where the work can be left safely.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from wsi_nucssl.errors import OutputExists, RunMismatch, Stopped, UsageError
from wsi_nucssl.files import (
    disk_errors,
    remove_partials,
    remove_path,
    replace,
    restore,
    retire,
    write_atomic,
)
from wsi_nucssl.locations import Location
from wsi_nucssl.locks import HOLDER, LOCK, locked
from wsi_nucssl.outputs import check_output

MANIFEST: Final = "manifest.json"
MARK: Final = "wsi_nucssl_run"
"""Entry of the file that tells a manifest of ours from any other manifest.json."""

_LINE: Final = 160
"""Characters of a message that one difference may take."""
_ABSENT: Final = "absent"

Manifest = Mapping[str, Any]
"""JSON values by name; the order does not matter."""


def digest(manifest: Manifest) -> str:
    """Short hash of a manifest's content."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]


@contextlib.contextmanager
def run_directory(
    path: Path,
    manifest: Manifest,
    *,
    resume: bool,
    overwrite: bool,
    inputs: Iterable[Location] = (),
    keep: str = "",
    break_lock: bool | None = False,
) -> Iterator[Path]:
    """Create, resume or replace the run at `path` and hold its lock; yields where to work.

    That is `path`, or, while an old run stays there, a folder beside it that takes the name when all is done. Until
    then it is what ⟨resume⟩ goes on with.

    Parameters
    ----------
    path : Path
        The run.
    manifest : Manifest
        Everything that decides its result.
    resume, overwrite : bool
        Go on with a run that was stopped; replace what is there.
    inputs : iterable of Location
        What the run reads.
    keep : str
        Name of the file for whose sake an old run stays until the new one is done; one without it is emptied at once.
    break_lock : bool, optional
        Take the lock from a holder that does not live on this host; None as of `locked`.

    Raises
    ------
    UsageError
        Both `resume` and `overwrite`.
    OutputExists
        Something is there and neither `resume` nor `overwrite` was asked for, or it is not a run of ours,
        or one of the `inputs` lies in what would be replaced.
    RunMismatch
        `resume`, but the run was made with another manifest; the message names what differs.
    OutputLocked
        Another process is at work there.
    """
    if resume and overwrite:
        raise UsageError("a run is either resumed or overwritten", remedy="Give ⟨resume⟩ or ⟨overwrite⟩")
    if overwrite:
        check_output(path, inputs=inputs, may_exist=True, is_folder=True)
    restore(path)
    with locked(path, break_lock=break_lock):
        beside = beside_of(path)
        if (beside / LOCK).exists():  # it is the old run: only a run that has its name is locked
            retire(beside, path)
        if overwrite and keep and (path / keep).exists() and _is_ours(path / MANIFEST):
            _drop(beside, path)
            _settle(beside, manifest, resume=False, overwrite=False)
        elif resume and beside.exists():
            _settle(beside, manifest, resume=True, overwrite=False)
        else:
            _settle(path, manifest, resume=resume, overwrite=overwrite)
            _drop(beside, path)
        place = place_of_work(path)
        with _standing(place, manifest):
            yield place
        if beside.exists():
            with disk_errors(path):
                replace(beside, path)


def is_run(path: Path) -> bool:
    """True for a run directory of ours, finished or not."""
    return _is_ours(path / MANIFEST)


def read_manifest(path: Path) -> Manifest | None:
    """The manifest of the run at `path`, finished or not; None where there is no run of ours."""
    return _read(path / MANIFEST) if is_run(path) else None


def place_of_work(path: Path) -> Path:
    """Where the run at `path` is being made, for a process that knows another one to hold it."""
    beside = beside_of(path)
    return beside if beside.exists() else path


def beside_of(path: Path) -> Path:
    """Where a run is made that is to replace the one at `path`."""
    return path.with_name(f".{path.name}.new")


def _drop(beside: Path, path: Path) -> None:
    """Remove a run that was to replace that at `path`, if there is one."""
    if beside.exists():
        retire(beside, path)


@contextlib.contextmanager
def _standing(path: Path, manifest: Manifest) -> Iterator[None]:
    """See that a run whose folder was removed under it, and partly made anew, is a whole run afterwards or none."""
    try:
        yield
    except BaseException:
        if path.is_dir() and not (path / MANIFEST).exists():
            for entry in _contents(path):
                remove_path(entry)
        raise
    if not (path / MANIFEST).exists():
        _write_manifest(path, manifest)


def _contents(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if entry.name not in (LOCK, HOLDER, MANIFEST)]


def _write_manifest(path: Path, manifest: Manifest) -> None:
    write_atomic(path / MANIFEST, json.dumps({**manifest, MARK: 1}, indent=2, sort_keys=True))


def _settle(path: Path, manifest: Manifest, *, resume: bool, overwrite: bool) -> None:
    with disk_errors(path):
        path.mkdir(exist_ok=True)
    here = path / MANIFEST
    remove_partials(path)
    contents = _contents(path)
    if (not resume and not _is_ours(here)) if here.exists() else contents:
        raise OutputExists(
            "the folder holds other files and no run", path=path, remedy="Choose a new or empty folder"
        )
    if here.exists():
        if overwrite:
            for entry in contents:
                remove_path(entry)
        elif resume:
            _check_same(path, _read(here), manifest)
            return
        else:
            raise OutputExists(
                "a run is there already",
                path=path,
                remedy="Add ⟨resume⟩ to go on with it or ⟨overwrite⟩ to start again",
            )
    _write_manifest(path, manifest)


def _is_ours(manifest: Path) -> bool:
    """False for somebody else's manifest.json, and for one that is damaged: whose it was, nobody knows."""
    try:
        content = json.loads(manifest.read_text())
    except (ValueError, OSError):
        return False
    return isinstance(content, dict) and MARK in content


def _read(manifest: Path) -> Manifest:
    try:
        content: dict[str, Any] = dict(json.loads(manifest.read_text()))
    except (ValueError, TypeError, OSError) as error:
        raise RunMismatch(
            f"the run's manifest is damaged ({error})",
            path=manifest,
            remedy="Remove the folder, or choose another",
        ) from error
    content.pop(MARK, None)
    return content


def _check_same(path: Path, was: Manifest, now: Manifest) -> None:
    now = json.loads(json.dumps(now))
    changes = list(_changes(was, now))
    if changes:
        raise RunMismatch(
            f"the run was made with other settings ({'; '.join(changes)})",
            path=path,
            remedy="Use the same settings to resume, or ⟨overwrite⟩ to start again",
        )


def _changes(was: Manifest, now: Manifest, section: str = "") -> Iterator[str]:
    """What differs, each by its name; values that would fill a line are not quoted."""
    for key in sorted({*was, *now}):
        before, after = was.get(key, _ABSENT), now.get(key, _ABSENT)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _changes(before, after, f"{section}{key}.")
        elif before != after:
            values = f"was {before!r}, now {after!r}"
            yield f"{section}{key}: {values if len(values) <= _LINE else 'was something else'}"


@dataclass(slots=True)
class StopRequest:
    """Set once a signal asked to stop; 0 until then."""

    signal: int = 0

    def check(self) -> None:
        """Raise `Stopped` if a signal asked to stop."""
        if self.signal:
            raise Stopped(self.signal)


_main: StopRequest | None = None
"""What the main thread has asked for."""


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn Ctrl-C and SIGTERM into a request, honoured where `check` is called, at the end at the latest.

    Outside the main thread it is the main thread's request, if that asked for one around it, or one that never comes.
    """
    global _main
    if threading.current_thread() is not threading.main_thread():
        yield _main or StopRequest()
        return
    request, outer = StopRequest(), _main

    def note(number: int, _frame: FrameType | None) -> None:
        request.signal = number

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    _main = request
    try:
        yield request
    finally:
        _main = outer
        for number, handler in before.items():
            signal.signal(number, handler)
    request.check()
