"""Results that may be wrong although nothing failed: each is said, kept, and, on demand, an error.

A slide without tissue, a density that no tissue has, a resolution that cannot be: the work can be done, and its result
is probably not what was wanted. Who sees it makes a `Doubt`; it stands in the summary and the outputs' records, and the
command line prints it. With ⟨strict⟩ the slide fails instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from wsi_nucssl.errors import SlideError, spelled
from wsi_nucssl.locations import Location


@dataclass(frozen=True, slots=True)
class Doubt:
    """What was seen that makes a result doubtful.

    Attributes
    ----------
    kind : str
        A word for machines, the same for every slide: "no-tissue".
    what : str
        What was seen, with its figures, and its likely cause; one sentence without a trailing full stop.
    remedy : str
        What the user can do, as an imperative sentence; parameters as ⟨name⟩.
    """

    kind: str
    what: str
    remedy: str

    @property
    def message(self) -> str:
        """Sight and remedy in one line, with each parameter as ⟨name⟩."""
        return f"{self.what}. {self.remedy}"

    def __str__(self) -> str:
        return spelled(self.message)


class DoubtWarning(UserWarning):
    """What Python warns of where a doubt has no summary to stand in; the command line says it as words."""


def warn_of(doubts: Sequence[Doubt], path: Location) -> None:
    """Warn the caller's caller of the doubts about one file."""
    for doubt in doubts:
        warnings.warn(f"{path}: {doubt}", DoubtWarning, stacklevel=3)


def refuse_doubtful(doubts: Sequence[Doubt], path: Location) -> None:
    """Make an error of the doubts about one slide, for who works with ⟨strict⟩.

    Raises
    ------
    SlideError
        There is at least one; the first is named, and how many more there are.
    """
    if doubts:
        first, more = doubts[0], len(doubts) - 1
        others = f" (and {more} more)" if more else ""
        raise SlideError(f"{first.what}{others}", path=str(path), remedy=first.remedy)
