"""The slides of a batch: which are to be done, what became of each, and the ledger of it where one is kept."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from wsi_nucssl._version import __version__
from wsi_nucssl.cohort import in_words
from wsi_nucssl.errors import OutputExists, OutputLocked, Stopped, UsageError, WsiNucsslError, spelled
from wsi_nucssl.ledger import TABLE, Ledger, Row
from wsi_nucssl.locations import Location

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

_SPARED: Final = (OutputExists, OutputLocked)
"""Nothing was done to such a slide, and what is at its output is as it was."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a slide came to, as a ledger tells it; what is not known is None.

    Attributes
    ----------
    seconds : float or None
        Wall time; by default what was measured around the work.
    nuclei, per_mm2, tissue_mm2 : int or float or None
        As in a `Row`.
    warnings, sha256 : str
        Likewise.
    earlier : bool
        It was done earlier, and found as it was left.
    """

    seconds: float | None = None
    nuclei: int | None = None
    per_mm2: float | None = None
    tissue_mm2: float | None = None
    warnings: str = ""
    sha256: str = ""
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class BatchStart:
    """What a batch sets out to do.

    Attributes
    ----------
    slides : tuple of Location
        Those that are looked at, in their order.
    earlier : frozenset of Location
        Those of them that the ledger says were done earlier, and whose outputs are there.
    """

    slides: tuple[Location, ...]
    earlier: frozenset[Location] = frozenset()

    @property
    def message(self) -> str:
        """Such as "12 done earlier, 3 to do"."""
        to_do = len(self.slides) - len(self.earlier)
        return f"{len(self.earlier)} done earlier, {to_do} to do" if self.earlier else f"{to_do} to do"


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of the slides of a batch.

    Attributes
    ----------
    rows : tuple of Row
        One a slide, in their order, as in the ledger; "waiting" is what was not begun.
    earlier : frozenset of str
        The outputs of those that were done earlier.
    ledger : Path or None
        The table, where one is kept.
    """

    rows: tuple[Row, ...]
    earlier: frozenset[str] = frozenset()
    ledger: Path | None = None

    @property
    def failed(self) -> tuple[Row, ...]:
        """Those that failed."""
        return tuple(row for row in self.rows if row.state == "failed")

    @property
    def table(self) -> pd.DataFrame:
        """The rows as pandas has them."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    def to_json(self) -> dict[str, Any]:
        """Plain values: `slides`, each as its row and whether it was done `earlier`, and `totals`."""
        states = Counter(row.state for row in self.rows)
        return {
            "version": __version__,
            "ledger": None if self.ledger is None else str(self.ledger),
            "totals": {
                "slides": len(self.rows),
                **{state: states[state] for state in ("done", "failed", "skipped", "running", "waiting")},
                "done_earlier": len(self.earlier),
                "nuclei": sum(row.nuclei or 0 for row in self.rows),
                "tissue_mm2": round(sum(row.tissue_mm2 or 0.0 for row in self.rows), 4),
                "seconds": round(sum(row.seconds or 0.0 for row in self._new), 2),
            },
            "slides": [{**asdict(row), "earlier": row.output in self.earlier} for row in self.rows],
        }

    @property
    def _new(self) -> Iterable[Row]:
        return (row for row in self.rows if row.output not in self.earlier)


class Batch:
    """Follows the slides of a batch, in memory and in a ledger. Slides may be worked on by many threads.

    Parameters
    ----------
    slides : mapping of Location to Path
        Each slide of this process and its first output.
    ledger : Ledger, optional
        Is kept of what becomes of each.
    others : mapping of Location to Path
        Slides of the same batch that other processes see to; they are entered in the ledger as waiting.
    retry_failed : bool
        Look only at slides that the ledger says failed.
    keeps_done : bool
        Slides that were done are kept, as a batch does that is resumed.
    exists : callable
        Whether an output is there.

    Raises
    ------
    UsageError
        `retry_failed`, and no ledger is there.
    """

    def __init__(
        self,
        slides: Mapping[Location, Path],
        ledger: Ledger | None = None,
        *,
        others: Mapping[Location, Path] | None = None,
        retry_failed: bool = False,
        keeps_done: bool = False,
        exists: Callable[[Path], bool] = Path.exists,
    ) -> None:
        self._ledger, self._paths, self._keeps_done = ledger, {**slides}, keeps_done
        self._names = {slide: self._name(path) for slide, path in {**(others or {}), **slides}.items()}
        self._exists = exists
        self._retries, self._earlier = retry_failed, set[str]()
        self._kept: frozenset[Location] = frozenset()
        self.is_lone = len(self._names) == 1
        known = self._known(retry_failed)
        if retry_failed:
            self._paths = {
                slide: path for slide, path in slides.items() if self._state(known, slide) == "failed"
            }
            self._names = {slide: self._names[slide] for slide in self._paths}
        self._rows = {
            slide: known.get(self._names[slide], Row(str(slide), self._names[slide])) for slide in self._paths
        }

    def _name(self, output: Path) -> str:
        return str(output) if self._ledger is None else os.path.relpath(output, self._ledger.folder)

    def _known(self, retry_failed: bool) -> dict[str, Row]:
        known = {} if self._ledger is None else self._ledger.rows()
        if retry_failed and not known:
            raise UsageError(
                f"there is no {TABLE} that says what failed",
                remedy="Give the folder of the batch as ⟨output⟩",
            )
        return known

    def _state(self, known: Mapping[str, Row], slide: Location) -> str:
        row = known.get(self._names[slide])
        return "" if row is None else row.state

    @property
    def slides(self) -> tuple[Location, ...]:
        """Those that are looked at."""
        return tuple(self._paths)

    @property
    def done_earlier(self) -> frozenset[Location]:
        """Those of them that would be kept: the ledger says that they are done, and their outputs are there."""
        return frozenset(
            slide
            for slide, path in self._paths.items()
            if self._keeps_done and self._rows[slide].state == "done" and self._exists(path)
        )

    def start(self) -> BatchStart:
        """Enter the slides in the ledger; one over which a process died comes last, so that it cannot stop others."""
        if self._ledger is not None and self._paths:
            self._ledger.enter((str(slide), name) for slide, name in self._names.items())
        self._kept = self.done_earlier
        order = sorted(self._paths, key=lambda slide: self._rows[slide].state == "running")
        start = BatchStart(tuple(order), self._kept)
        if self._ledger is not None and order:
            self._ledger.note(f"begins: {start.message}")
        return start

    def keep(
        self, slide: Location, job: Callable[[], T], outcome_of: Callable[[T], Outcome], versions: str
    ) -> T:
        """Do a slide's work, and enter that it is begun and how it ends.

        Of one that was done earlier, and is found as it was left, nothing is entered.
        """
        before, begun = self._begin(slide, versions)
        started = perf_counter()
        try:
            value = job()
        except Stopped:
            if slide in self._kept:
                raise
            stopped = (
                replace(before, attempts=begun.attempts) if self._retries else replace(begun, state="waiting")
            )
            self._enter(slide, stopped)
            raise
        except _SPARED as error:
            self._spare(slide, before, begun, error)
            raise
        except Exception as error:
            what, remedy = _words(slide, error)
            took = round(perf_counter() - started, 2)
            self._enter(slide, replace(begun, state="failed", seconds=took, error=what, remedy=remedy))
            raise
        outcome = outcome_of(value)
        if outcome.earlier:
            self._earlier.add(self._names[slide])
            if before.state == "done" and before.sha256 == outcome.sha256:
                self._leave(slide, before)
                return value
            begun = replace(begun, attempts=max(1, before.attempts), started=before.started)
        columns = {name: entry for name, entry in asdict(outcome).items() if name != "earlier"}
        if outcome.seconds is None:
            columns["seconds"] = round(perf_counter() - started, 2)
        self._enter(slide, replace(begun, state="done", **columns))
        return value

    def result(self) -> BatchResult:
        """What became of the slides up to now."""
        ledger = None if self._ledger is None else self._ledger.folder / TABLE
        rows = tuple(replace(row, path=str(slide)) for slide, row in self._rows.items())
        return BatchResult(rows, frozenset(self._earlier), ledger)

    def _begin(self, slide: Location, versions: str) -> tuple[Row, Row]:
        name = self._names[slide]
        if self._ledger is None or slide in self._kept:
            before = self._rows[slide]
            begun = Row(str(slide), name, "running", before.attempts + 1, versions=versions)
        else:
            before, begun = self._ledger.begin(name, versions, str(slide))
        self._rows[slide] = begun
        return before, begun

    def _enter(self, slide: Location, row: Row) -> None:
        if self._ledger is not None:
            if slide in self._kept:  # it was not as it had been left, so that it was begun after all
                _, begun = self._ledger.begin(row.output, row.versions, row.path)
                row = replace(row, attempts=begun.attempts, started=begun.started)
            self._ledger.put(row)
        self._rows[slide] = row

    def _leave(self, slide: Location, row: Row) -> None:
        """The slide was done earlier, by this process's predecessor or by another."""
        self._rows[slide] = row
        if self._ledger is not None and slide not in self._kept:
            self._ledger.put(row)

    def _spare(self, slide: Location, before: Row, begun: Row, error: WsiNucsslError) -> None:
        """The slide was not touched: what the ledger says of a slide that is done, or that another works on, stays."""
        what, remedy = _words(slide, error)
        self._rows[slide] = skipped = replace(before, state="skipped", error=what, remedy=remedy)
        if self._ledger is None or slide in self._kept:
            return
        is_told = before.state == "done" or isinstance(error, OutputLocked)
        self._ledger.withdraw(begun, before if is_told else skipped, what)


def versions_of(*packages: str) -> str:
    """Versions of this package, of Python and of other packages that are installed, as a ledger has them."""
    parts = [f"wsi-nucssl {__version__}", f"python {'.'.join(map(str, sys.version_info[:3]))}"]
    for name in packages:
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return "; ".join(parts)


def _words(slide: Location, error: Exception) -> tuple[str, str]:
    """Fault and remedy."""
    told = in_words(slide, error)
    return spelled(told.what), spelled(told.remedy or "")
