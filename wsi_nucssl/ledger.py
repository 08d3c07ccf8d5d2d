"""What became of each slide of a batch: a table in the output folder that a stopped batch leaves behind.

`batch.csv` has a row for each slide, and is replaced whole at each change; `batch.log` gets a line for each change,
with the time. Several processes (the jobs of an array) may keep one ledger: a row belongs to its output, and a change
is made under a lock.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import io
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self

from filelock import FileLock, Timeout

from wsi_nucssl.errors import OutputError
from wsi_nucssl.files import disk_errors, remove_partials, write_atomic

TABLE: Final = "batch.csv"
LOG: Final = "batch.log"
_LOCK: Final = ".batch.lock"
_LOCK_SECONDS: Final = 60

_NO_TEXT: Final = "backslashreplace"
"""Of names whose bytes are no UTF-8."""
_LOGGED: Final = re.compile(r""" output=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
"""The output in a line of the log, as `repr` writes it."""
_NOT_LOGGED: Final = ("path", "state", "started", "versions")

State = Literal["waiting", "running", "done", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Row:
    """A slide of a batch.

    Attributes
    ----------
    path, output : str
        The slide as it was given; its first output's name within the folder, which is what tells rows apart.
    state : {"waiting", "running", "done", "failed", "skipped"}
        A row that says "running" although nothing runs is of a process that was killed: resumed, its slide goes on.
        One that was asked to stop leaves "waiting". "skipped": something is at its output, and was spared.
    attempts : int
        How often it was begun.
    started : str
        When it was begun the last time, ISO 8601 in UTC.
    seconds : float or None
        Wall time of the last attempt.
    nuclei : int or None
        How many were found; this and what follows is empty where it is not known, as of a slide that failed.
    per_mm2, tissue_mm2 : float or None
        Nuclei per mm² of tissue; area of the tissue.
    warnings : str
        Doubts about the result, one after another.
    error, remedy : str
        Why it failed, and what can be done.
    versions : str
        Of the package and of what else decides the bytes.
    sha256 : str
        Of the first output's bytes.
    """

    path: str
    output: str
    state: State = "waiting"
    attempts: int = 0
    started: str = ""
    seconds: float | None = None
    nuclei: int | None = None
    per_mm2: float | None = None
    tissue_mm2: float | None = None
    warnings: str = ""
    error: str = ""
    remedy: str = ""
    versions: str = ""
    sha256: str = ""

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> Self:
        """The row of a table's line; columns that the table lacks keep their defaults.

        Raises
        ------
        ValueError
            A number is none, or the line has not as many cells as there are columns.
        """
        if None in texts or None in texts.values():
            raise ValueError("a line is cut")
        kinds: dict[str, type] = {"attempts": int, "nuclei": int}
        kinds |= dict.fromkeys(("seconds", "per_mm2", "tissue_mm2"), float)
        known = {each.name for each in fields(cls)}
        return cls(
            **{
                name: kinds.get(name, str)(text)
                for name, text in texts.items()
                if name in known and (text or name not in kinds)
            }
        )


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of a folder; any number of processes may hold one of the same folder.

    Parameters
    ----------
    folder : Path
        Where `batch.csv` and `batch.log` lie.
    now : callable
        Seconds since the epoch.
    """

    folder: Path
    now: Callable[[], float] = field(default=time.time, repr=False)

    def rows(self) -> dict[str, Row]:
        """Each output and its row, in the order in which they came.

        Raises
        ------
        OutputError
            The table is damaged.
        """
        try:
            text = (self.folder / TABLE).read_bytes().decode()
        except FileNotFoundError:
            return {}
        except NotADirectoryError as error:
            raise OutputError(
                "this is a file, not a folder", path=self.folder, remedy="Choose another output"
            ) from error
        except (OSError, ValueError) as error:
            raise self._damaged(error) from error
        table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            if not _is_ours(table.fieldnames or ()):
                raise OutputError(
                    "a table is there that is no ledger of ours",
                    path=self.folder / TABLE,
                    remedy="Choose another folder for the outputs, or another name for that table",
                )
            rows = [Row.parse(each) for each in table]
        except (csv.Error, ValueError, TypeError) as error:
            raise self._damaged(error) from error
        return {row.output: row for row in rows}

    def _damaged(self, error: Exception) -> OutputError:
        return OutputError(
            f"the ledger is damaged ({error})",
            path=self.folder / TABLE,
            remedy="Remove it: finished slides are known by their own runs",
        )

    def logged(self) -> set[str]:
        """The outputs that the log tells of; a table that is cut lacks some of them."""
        try:
            lines = (self.folder / LOG).read_text(encoding="utf-8", errors=_NO_TEXT).splitlines()
        except OSError:
            return set()
        return {ast.literal_eval(found[1]) for line in lines if (found := _LOGGED.search(line))}

    def enter(self, slides: Iterable[tuple[str, str]]) -> None:
        """Enter slides that wait, as (path, output); of those entered before only the path is renewed."""
        with self._changing() as rows:
            for path, output in slides:
                rows[output] = replace(rows.get(output, Row(path, output)), path=path)

    def begin(self, output: str, versions: str, path: str = "") -> tuple[Row, Row]:
        """A slide is begun, and of earlier attempts only their number stays; returns the row before and after.

        `path` is the slide's, for a table that was removed since the slide was entered.
        """
        with self._changing() as rows:
            before = rows.get(output, Row(path, output))
            after = Row(before.path, output, "running", before.attempts + 1, self._time(), versions=versions)
            rows[output] = after
            self._log(after)
        return before, after

    def put(self, row: Row) -> None:
        """Enter how a slide ended."""
        with self._changing() as rows:
            rows[row.output] = row
            self._log(row)

    def withdraw(self, begun: Row, before: Row, why: str) -> None:
        """Take back that a slide was begun, since nothing was done to it; what another process entered since stays."""
        with self._changing() as rows:
            if rows.get(begun.output) == begun:
                rows[begun.output] = before
            self._log(replace(before, state="skipped", error=why))

    def note(self, text: str) -> None:
        """Put a line about the whole batch into the log."""
        with self._changing():
            self._say(f"batch {text}")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Row]]:
        """The rows, read under the lock; written when all went well."""
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / _LOCK, timeout=_LOCK_SECONDS)
            try:
                lock.acquire()
            except Timeout:
                raise OutputError(
                    f"another process has held the ledger for {_LOCK_SECONDS} s",
                    path=self.folder / _LOCK,
                    remedy="See whether it hangs, and run the same command again with ⟨resume⟩",
                ) from None
        try:
            remove_partials(self.folder, TABLE)  # of a process that was killed
            rows = self.rows()
            known = dict(rows)
            yield rows
            if rows != known or not (self.folder / TABLE).exists():
                write_atomic(self.folder / TABLE, _text(rows.values()).encode(errors=_NO_TEXT))
        finally:
            lock.release()

    def _log(self, row: Row) -> None:
        columns = {
            name: value
            for name, value in asdict(row).items()
            if value not in ("", None) and name not in _NOT_LOGGED
        }
        told = " ".join(f"{name}={value!r}" for name, value in columns.items())
        self._say(f"{row.state} {row.path!r} {told}")

    def _say(self, line: str) -> None:
        """A line at the end of the log; whoever says it holds the lock, since not every disk appends in one step."""
        with (
            disk_errors(self.folder / LOG),
            (self.folder / LOG).open("a", encoding="utf-8", errors=_NO_TEXT) as log,
        ):
            log.write(f"{self._time()} {line}\n")

    def _time(self) -> str:
        return datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="seconds")


def _is_ours(columns: Iterable[str]) -> bool:
    """True of the columns of a ledger, also of an earlier version's, and of an empty table."""
    names = {*columns}
    return not names or {"path", "output", "state"} <= names <= {each.name for each in fields(Row)}


def _text(rows: Iterable[Row]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [each.name for each in fields(Row)])
    writer.writeheader()
    writer.writerows(map(asdict, rows))
    return text.getvalue()
