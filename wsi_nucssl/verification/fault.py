"""What verifying finds: faults, each with its file and its remedy, and what was looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Attributes
    ----------
    path : str
        The file or folder.
    kind : str
        A word for machines, the same for every file: "absent", "changed", "polygon".
    what : str
        What was seen; one sentence without a trailing full stop.
    remedy : str
        What the user can do, as an imperative sentence; parameters as ⟨name⟩.
    """

    path: str
    kind: str
    what: str
    remedy: str

    @property
    def message(self) -> str:
        """File, fault and remedy in one line, with each parameter as ⟨name⟩."""
        return f"{self.path}: {self.what}. {self.remedy}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What looking at one file or folder came to.

    Attributes
    ----------
    path : Path
        What was looked at.
    thing : str
        What it is: "output", "run", "tile store", "weights", "batch".
    said : str
        What is known of it, in a few words.
    faults : tuple of Fault
        What is wrong; nothing where all is well.
    repaired : str
        What was made again; "" where nothing was.
    """

    path: Path
    thing: str
    said: str
    faults: tuple[Fault, ...] = ()
    repaired: str = ""

    def mended(self, what: str) -> Self:
        """The verdict of what was made again just now."""
        return replace(self, repaired=what)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "path": str(self.path)}


class Tally:
    """Faults of one file by kind: how many there are of each, and where the first is."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def note(self, kind: str, what: str, count: int = 1) -> None:
        """Count a fault of a kind; `what` is kept of the first."""
        before, first = self._found.get(kind, (0, what))
        self._found[kind] = before + count, first

    def __bool__(self) -> bool:
        return bool(self._found)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Each kind, and in words what is wrong and how often."""
        for kind, (count, first) in self._found.items():
            yield kind, first + (f" (and {count - 1} more like it)" if count > 1 else "")
