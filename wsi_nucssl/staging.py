"""Outputs on object storage: they are made in a folder of this machine, which a mirror follows object by object.

Object stores neither rename nor append nor lock, which all that is made here relies on. So a job works on a local
folder as it always does. While it does, each file that is whole is put under the same name below the URL, a few seconds
later at most; what a kill leaves there, any machine takes up again. A run's summary, and a tile store's `zarr.json`,
are put last: they say that all is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wsi_nucssl.errors import OutputError, OutputLocked
from wsi_nucssl.files import remove_path, write_atomic
from wsi_nucssl.ledger import LOG, TABLE, Ledger, Row
from wsi_nucssl.locations import Location, Url
from wsi_nucssl.locks import HOLDER, Holder, check_holder, locked
from wsi_nucssl.objects import ObjectFolder, at_once
from wsi_nucssl.runs import MANIFEST

SCRATCH: Final = "WSI_NUCSSL_SCRATCH"
"""Environment variable: the folder of this machine in which such outputs are made."""
_AT_FIRST_S: Final = 0.5
_EVERY_S: Final = 5.0
"""Seconds from one look at what is new to the next."""
_MARKS: Final = ("summary.json", "zarr.json")
"""In the folder of a run, of a store: put last, and removed first."""
_NOT_OURS: Final = (".partial", ".aside", ".lock", HOLDER)
_LEDGER_LOCK: Final = ".batch.lock"
_LEDGER_S: Final = 60.0

Signature = tuple[int, int, int]
"""Number, size and time of a file: while they stay, so do its bytes, whatever its name."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where outputs are made that belong below a URL.

    Attributes
    ----------
    folder : Path
        Of this machine; the same for each command with that URL, so that an interrupted one is gone on with.
    objects : ObjectFolder
        Where they belong.
    """

    folder: Path
    objects: ObjectFolder

    @contextlib.contextmanager
    def holding(self, paths: Sequence[Path], *, break_lock: bool = False) -> Iterator[None]:
        """Hold the outputs of one slide, and mirror them; at the end all is there, or what was done so far.

        Parameters
        ----------
        paths : sequence of Path
            Files and folders of the slide below `folder`, of which the first names the lock.
        break_lock : bool
            Take the lock from a holder that does not live on this host.

        Raises
        ------
        OutputLocked
            Another process makes them.
        OutputError
            The store does not answer.
        """
        name = self._name(paths[0])
        site = self.folder / f".{name.replace('/', '%')}.stage"
        with locked(site), _held(self.objects, f"{name}.lock", break_lock=break_lock) as mine:
            mirror = _Mirror(
                self, [self._name(path) for path in paths], f"{name}.stage", f"{name}.lock", mine
            )
            mirror.begin(site / "token")
            with mirror.following():
                yield
            mirror.settle()

    def clear(self, paths: Sequence[Path]) -> None:
        """Remove what was made here of outputs that are whole at their URL."""
        for path in paths:
            remove_path(path)
        remove_path(self.folder / f".{self._name(paths[0]).replace('/', '%')}.stage")

    def exists(self, path: Path) -> bool:
        """True if an output is there."""
        return bool(self.objects.names(self._name(path)))

    def ledger(self) -> Ledger:
        """The ledger of the folder, for one process or many."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return RemoteLedger(self.folder, objects=self.objects)

    def shown(self, path: Path) -> str:
        """An output as the person named it."""
        return f"{self.objects.url}/{self._name(path)}" if path.is_relative_to(self.folder) else str(path)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def staged(output: Location, *, is_file: bool = False) -> tuple[Path, Stage | None]:
    """Where the outputs of a job are made: at a path as it is, or on the stage of a URL.

    Parameters
    ----------
    output : Location
        What was given.
    is_file : bool
        It names a file, not the folder for several.

    Raises
    ------
    UsageError
        Nothing can be written to such a URL.
    """
    if not isinstance(output, Url):
        return output, None
    raw = output.raw.rstrip("/")
    parent, _, name = raw.rpartition("/")
    root = parent if is_file else raw
    scratch = os.environ.get(SCRATCH)
    above = Path(scratch) if scratch else Path(tempfile.gettempdir()) / f"wsi-nucssl-{_user()}"
    folder = above.absolute() / hashlib.sha256(root.encode()).hexdigest()[:16]
    stage = Stage(folder, ObjectFolder(Url(root)))
    return (folder / name if is_file else folder), stage


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


@contextlib.contextmanager
def _held(objects: ObjectFolder, name: str, *, break_lock: bool) -> Iterator[bytes]:
    """The lock of a slide for every host; gives what stands in it. This host's own lock is held already."""
    mine = Holder.here().text().encode()
    while not objects.create(name, mine):
        data = objects.read(name)
        if data is None:
            continue
        check_holder(Holder.parse(data), f"{objects.url}/{name}", is_free=True, break_lock=break_lock)
        objects.remove([name])
    try:
        yield mine
    finally:
        if objects.read(name) == mine:
            objects.remove([name])


@dataclass(slots=True)
class _Mirror:
    """Puts what is made of a slide to where it belongs.

    Attributes
    ----------
    stage : Stage
        Where from and where to.
    names : list of str
        Files and folders that are followed.
    token, lock : str
        Objects: whose work the unfinished objects are, and who is at work.
    mine : bytes
        What stands in the lock while this process has it.
    there : dict of str to Signature or None
        Objects and the files that they were put from, None for unknown ones.
    found : dict, optional
        What was there at first, where nothing of it was unfinished.
    """

    stage: Stage
    names: list[str]
    token: str
    lock: str
    mine: bytes
    there: dict[str, Signature | None] = field(default_factory=dict)
    found: dict[str, Signature | None] | None = None

    def begin(self, kept: Path) -> None:
        """Have here what is there; what is here stays only if nobody has gone on elsewhere since it was mirrored."""
        objects, folder = self.stage.objects, self.stage.folder
        token = objects.read(self.token)
        self.there = dict.fromkeys(each for name in self.names for each in objects.names(name))
        if token is None or not kept.is_file() or kept.read_bytes() != token:
            for name in self.names:
                remove_path(folder / name)
            whole = [name for name in self.there if self._is_of_something_whole(name)]
            at_once(lambda name: objects.get(name, folder / name), whole)
            self.there |= {name: signature(folder / name) for name in whole}
            self.found = self.there.copy() if token is None else None
        new = uuid.uuid4().hex.encode()
        write_atomic(kept, new)
        objects.write(self.token, new)

    def _is_of_something_whole(self, name: str) -> bool:
        """False of what a kill left of a store that was being put: its mark is not there."""
        above = next(each for each in self.names if name == each or name.startswith(f"{each}/"))
        return name == above or any(f"{above}/{each}" in self.there for each in (MANIFEST, *_MARKS))

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """Put what is new every few seconds while the context lasts, and once more when it ends early."""
        done = threading.Event()

        def follow() -> None:
            pause = _AT_FIRST_S
            while not done.wait(pause):
                pause = min(2 * pause, _EVERY_S)
                with contextlib.suppress(OutputError):  # said at the end, if it is still so
                    self.put()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            done.set()
            thread.join()
            with contextlib.suppress(OutputError):  # what was raised goes before it
                self.put()
                if self.there == self.found:  # it was refused
                    self.stage.objects.remove([self.token])
            raise
        finally:
            done.set()
            thread.join()

    def settle(self) -> None:
        """Put all, marks last, and remove what is no longer here."""
        here = self.put()
        marks = {name for name in here if self._is_mark(name)}
        for name in sorted(marks):
            self._put_one(name, here[name])
        self.stage.objects.remove(sorted(self.there.keys() - here.keys()))
        self.stage.objects.remove([self.token])

    def put(self) -> Mapping[str, Signature]:
        """Put what is new here, but for marks; returns what is here.

        Raises
        ------
        OutputLocked
            Somebody has broken the lock.
        """
        objects = self.stage.objects
        if objects.read(self.lock) != self.mine:
            raise OutputLocked(
                "another process has taken this output over", path=f"{objects.url}/{self.lock}"
            )
        here = self._here()
        changed = {name: sign for name, sign in here.items() if self.there.get(name) != sign}
        outdated = [name for name in changed if name in self.there and self._is_mark(name)]
        objects.remove(outdated)
        for name in outdated:
            del self.there[name]
        at_once(lambda name: self._put_one(name, changed[name]), (n for n in changed if not self._is_mark(n)))
        return here

    def _put_one(self, name: str, sign: Signature) -> None:
        objects, source = self.stage.objects, self.stage.folder / name
        if self.there.get(name) == sign:
            return
        same = next((each for each, known in self.there.copy().items() if known == sign), None)
        try:
            if same is not None:  # it was only renamed
                objects.copy(same, name)
            else:
                objects.put(source, name)
        except OutputError:
            if source.exists():
                raise
            return  # it was removed meanwhile
        self.there[name] = sign

    def _here(self) -> dict[str, Signature]:
        found: dict[str, Signature] = {}
        for name in self.names:
            path = self.stage.folder / name
            for each in path.rglob("*") if path.is_dir() else [path]:
                with contextlib.suppress(FileNotFoundError):
                    if each.is_file() and not each.name.endswith(_NOT_OURS):
                        found[each.relative_to(self.stage.folder).as_posix()] = signature(each)
        return found

    def _is_mark(self, name: str) -> bool:
        return any(name == f"{each}/{mark}" for each in self.names for mark in _MARKS)


def signature(path: Path) -> Signature:
    """What tells a file's state."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class RemoteLedger(Ledger):
    """A ledger on object storage: taken here, changed, and put back, under a lock that all hosts see."""

    objects: ObjectFolder = field(kw_only=True, repr=False)

    def rows(self) -> dict[str, Row]:
        """As there."""
        self._fetch(TABLE)
        return Ledger.rows(self)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Row]]:
        with self._alone():
            self._fetch(LOG)
            with Ledger._changing(self) as rows:
                yield rows
            for name in (LOG, TABLE):
                if (self.folder / name).exists():
                    self.objects.put(self.folder / name, name)

    def _fetch(self, name: str) -> None:
        data = self.objects.read(name)
        if data is None:
            (self.folder / name).unlink(missing_ok=True)
        else:
            write_atomic(self.folder / name, data)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One change at a time; the lock of a process that was killed in the middle of one is taken after a while."""
        mine, until, since = f"{uuid.uuid4().hex}".encode(), time.monotonic() + _LEDGER_S, ("", 0.0)
        while not self.objects.create(_LEDGER_LOCK, mine):
            other = (self.objects.read(_LEDGER_LOCK) or b"").decode(errors="replace")
            now = time.monotonic()
            since = since if since[0] == other else (other, now)
            if now - since[1] > _LEDGER_S / 4:
                self.objects.remove([_LEDGER_LOCK])
            elif now > until:
                raise OutputError(
                    f"other processes have held the ledger for {_LEDGER_S:.0f} s",
                    path=f"{self.objects.url}/{_LEDGER_LOCK}",
                    remedy="Run the same command again with ⟨resume⟩",
                )
            time.sleep(0.1)
        try:
            yield
        finally:
            self.objects.remove([_LEDGER_LOCK])
