"""The one writer's lock of a folder: the system's, and beside it a note that says who has it.

The system's lock ends with its holder, wherever a file system carries it from host to host. Some do not, so that a note
of another host counts as much as its lock: nobody here can know whether that host still writes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import psutil
from filelock import FileLock, Timeout

from wsi_nucssl.errors import OutputError, OutputLocked
from wsi_nucssl.files import REMEDIES, disk_errors, write_atomic

LOCK: Final = ".lock"
HOLDER: Final = ".lock.json"
"""The note; not in the lock itself, which whoever tries it may empty."""

_SAME_START_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that writes into a folder.

    Attributes
    ----------
    host, pid : str and int
        Where it runs, and its number there.
    job : str
        Of which job of a batch system it is, such as "SLURM 4711_3"; "" for none.
    since : str
        When it took the lock, ISO 8601 in UTC.
    started : float
        When it began, in seconds since the epoch: numbers of processes are given out again.
    """

    host: str
    pid: int
    job: str
    since: str
    started: float

    @classmethod
    def here(cls) -> Self:
        """This process."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(socket.gethostname(), os.getpid(), job_of(os.environ), now, psutil.Process().create_time())

    @classmethod
    def parse(cls, text: str | bytes) -> Self | None:
        """What `text` says, None if it does not say it."""
        try:
            found: dict[str, Any] = json.loads(text)
            return cls(
                str(found["host"]),
                int(found["pid"]),
                str(found["job"]),
                str(found["since"]),
                float(found["started"]),
            )
        except (ValueError, TypeError, KeyError):
            return None

    @classmethod
    def of(cls, directory: Path) -> Self | None:
        """Who holds a folder by its note, None where there is none."""
        try:
            return cls.parse((directory / HOLDER).read_text(errors="replace"))
        except OSError:
            return None

    def text(self) -> str:
        """As `parse` takes it."""
        return json.dumps(asdict(self))

    @property
    def is_here(self) -> bool:
        """True if it is of this host."""
        return self.host == socket.gethostname()

    @property
    def lives_here(self) -> bool:
        """True if it is of this host, and still runs."""
        try:
            started = psutil.Process(self.pid).create_time() if self.is_here else None
        except (psutil.NoSuchProcess, ValueError):
            return False
        return started is not None and abs(started - self.started) < _SAME_START_S

    @property
    def is_an_earlier_life(self) -> bool:
        """True if this process is the same job, begun again by the batch system, which runs it once at a time."""
        return bool(self.job) and self.job == job_of(os.environ)

    def __str__(self) -> str:
        job = f", job {self.job}" if self.job else ""
        return f"process {self.pid} on {self.host}{job}, since {self.since}"


def job_of(environment: Mapping[str, str]) -> str:
    """The job of a batch system that an environment is of, such as "SLURM 4711_3"; "" for none."""
    get = environment.get
    if number := get("SLURM_JOB_ID"):
        array, task = get("SLURM_ARRAY_JOB_ID"), get("SLURM_ARRAY_TASK_ID")
        step = get("SLURM_PROCID", "0")
        return f"SLURM {f'{array}_{task}' if array and task else number}{'' if step == '0' else f' process {step}'}"
    if (number := get("JOB_ID")) and "SGE_TASK_ID" in environment:
        return f"SGE {number}{'' if (task := get('SGE_TASK_ID')) == 'undefined' else f'.{task}'}"
    for variable, name in (("LSB_JOBID", "LSF"), ("PBS_JOBID", "PBS"), ("OAR_JOB_ID", "OAR")):
        if number := get(variable):
            return f"{name} {number}{f'[{index}]' if (index := get('LSB_JOBINDEX', '0')) != '0' else ''}"
    return ""


@contextlib.contextmanager
def locked(directory: Path, *, break_lock: bool | None = None) -> Iterator[None]:
    """Hold the one writer's lock of a folder.

    A note that a killed process of this host left is no obstacle, since the system's lock has ended with it; nor is one
    of the same job in an earlier life.

    Parameters
    ----------
    directory : Path
        The folder, made if it is not there.
    break_lock : bool, optional
        Take the lock from a holder that does not live on this host. None, for commands that cannot be asked to: the
        system's lock alone counts.

    Raises
    ------
    OutputLocked
        Another process holds it; the message says which, and what to do.
    OutputError
        The place cannot be written to.
    """
    lock = FileLock(directory / LOCK)
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        is_free = _acquire(lock)
        check_holder(Holder.of(directory), directory, is_free=is_free, break_lock=break_lock, lock=lock)
        if not is_free:
            lock = _anew(directory)
        mine = Holder.here()
        write_atomic(directory / HOLDER, mine.text())
    try:
        yield
    finally:
        if Holder.of(directory) == mine:
            (directory / HOLDER).unlink(missing_ok=True)
        lock.release()


def check_holder(
    holder: Holder | None,
    place: Path | str,
    *,
    is_free: bool,
    break_lock: bool | None,
    lock: FileLock | None = None,
) -> None:
    """See whether this process may take a place that somebody's note is at.

    Parameters
    ----------
    holder : Holder or None
        Who left the note.
    place : Path or str
        What is held.
    is_free : bool
        The system has given its lock, so that no process of this host has it.
    break_lock : bool, optional
        As of `locked`.
    lock : FileLock, optional
        Is released if the place may not be taken.

    Raises
    ------
    OutputLocked
        It may not.
    """
    if is_free and (break_lock is None or holder is None or holder.is_here or holder.is_an_earlier_life):
        return
    if break_lock and holder is not None and not holder.lives_here:
        return
    if lock is not None and is_free:
        lock.release()
    raise _held(holder, place, asked=break_lock)


def _held(holder: Holder | None, place: Path | str, *, asked: bool | None) -> OutputLocked:
    if holder is None:
        return OutputLocked(
            "another process is writing here", path=place, remedy="Wait for it or choose another output"
        )
    if holder.lives_here:
        refused = "; ⟨break_lock⟩ takes no lock from a process that lives" if asked else ""
        return OutputLocked(
            f"another process is writing here: {holder}{refused}",
            path=place,
            remedy=f"Wait for it, end it (kill {holder.pid}), or choose another output",
        )
    broken = "" if asked is None else "; if it is sure to have ended, add ⟨break_lock⟩"
    return OutputLocked(
        f"another process is writing here: {holder}",
        path=place,
        remedy=f"Wait for it or choose another output{broken}",
    )


def _acquire(lock: FileLock) -> bool:
    """Take the system's lock; False if another process has it."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        directory = Path(lock.lock_file).parent
        if not directory.is_dir():
            raise OutputError(
                f"cannot be written ({os.strerror(errno.ENOENT)})",
                path=directory,
                remedy=REMEDIES[errno.ENOENT],
            ) from None
        return False
    return True


def _anew(directory: Path) -> FileLock:
    """A lock in place of one whose host is gone; of several who do so at a time, one has it."""
    (directory / LOCK).unlink(missing_ok=True)
    lock = FileLock(directory / LOCK)
    if not _acquire(lock):
        raise _held(Holder.of(directory), directory, asked=True)
    return lock
