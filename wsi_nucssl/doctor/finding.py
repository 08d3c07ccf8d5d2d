"""What a check is, and what it finds.

A check gathers facts and judges them, in two functions: facts come from the machine, or from a test. An example of the
whole:

>>> def judge(days: int) -> Finding:
...     return fine(f"{days} days old") if days < 7 else doubtful(f"{days} days old", "Buy some milk")
>>> MILK = Check("milk", lambda: 3, judge)
>>> examined(MILK).finding.what
'3 days old'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from wsi_nucssl.doctor.private import without_private
from wsi_nucssl.errors import WsiNucsslError

Facts = TypeVar("Facts")
State = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    state : {"ok", "warning", "fault"}
        A warning is what may cost time or memory; with a fault, work fails or results are wrong.
    what : str
        What was seen, with its figures; one sentence without a trailing full stop.
    remedy : str
        What the user can do, as an imperative sentence; empty where all is well.
    kind : type of WsiNucsslError
        The error whose exit code a fault has.
    """

    state: State
    what: str
    remedy: str = ""
    kind: type[WsiNucsslError] = WsiNucsslError


def fine(what: str) -> Finding:
    """All is well."""
    return Finding("ok", what)


def doubtful(what: str, remedy: str) -> Finding:
    """Work can be done, but it may be slow or fail later."""
    return Finding("warning", what, remedy)


def faulty(what: str, remedy: str, kind: type[WsiNucsslError] = WsiNucsslError) -> Finding:
    """Work fails, or its results are wrong."""
    return Finding("fault", what, remedy, kind)


@dataclass(frozen=True)
class Check(Generic[Facts]):
    """One thing to look at.

    Attributes
    ----------
    name : str
        One word or two, for the table and for machines.
    gather : callable
        Looks at the machine.
    judge : callable
        Makes a finding of what `gather` saw, and of nothing else.
    """

    name: str
    gather: Callable[[], Facts]
    judge: Callable[[Facts], Finding]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the doctor's page: the check's name and what it found, without private names."""

    name: str
    finding: Finding

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        found = self.finding
        return {"name": self.name, "state": found.state, "what": found.what, "remedy": found.remedy}


def examined(check: Check[Any]) -> Line:
    """What a check finds; one that raises is a fault of its own, so that the others go on."""
    try:
        found = check.judge(check.gather())
    except WsiNucsslError as error:
        found = faulty(error.what, error.remedy or "Mend this first", type(error))
    except Exception as error:  # whatever is broken here is what the doctor was asked for
        found = faulty(
            f"looking ended in {type(error).__name__}: {error}",
            "Install the package anew, or report this page",
        )
    clean = Finding(found.state, without_private(found.what), without_private(found.remedy), found.kind)
    return Line(check.name, clean)
