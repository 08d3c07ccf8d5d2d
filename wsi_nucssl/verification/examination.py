"""Look at everything that was named, mend what can be mended, and say what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from wsi_nucssl._version import __version__
from wsi_nucssl.errors import OutputError, WsiNucsslError
from wsi_nucssl.locations import Location
from wsi_nucssl.models.weights import Model
from wsi_nucssl.slide.inputs import gather_slides
from wsi_nucssl.verification.claims import SlideAtHand
from wsi_nucssl.verification.fault import Fault, Verdict
from wsi_nucssl.verification.targets import Finder, Shelf, Target

Mend = Callable[[Target, Verdict], Verdict]
OnVerdict = Callable[[Verdict], object]

_WORTH_PROCESSES: Final = 1 << 25
"""Bytes of files that are looked at sooner than processes have begun."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What looking at many things came to.

    Attributes
    ----------
    verdicts : tuple of Verdict
        One for each thing, in the order in which they were found.
    """

    verdicts: tuple[Verdict, ...]

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All that is wrong; nothing where all is well."""
        return tuple(fault for verdict in self.verdicts for fault in verdict.faults)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "version": __version__,
            "well": not self.faults,
            "checked": [verdict.to_dict() for verdict in self.verdicts],
        }

    def refuse_faults(self) -> None:
        """Make an error of the faults.

        Raises
        ------
        OutputError
            There is at least one.
        """
        if self.faults:
            wrong = sum(bool(verdict.faults) for verdict in self.verdicts)
            faults = f"{len(self.faults)} fault{'s' * (len(self.faults) > 1)}"
            raise OutputError(
                f"{faults} in {wrong} of {len(self.verdicts)} things that were looked at",
                remedy="Do what each line says",
            )


def examine(
    paths: Iterable[Path],
    *,
    slides: Iterable[Location] = (),
    model: Model | None = None,
    workers: int = 1,
    mend: Mend | None = None,
    on_verdict: OnVerdict = lambda _: None,
) -> Verification:
    """Look at outputs, run directories, tile stores, weights, and folders of them.

    Parameters
    ----------
    paths : iterable of Path
        What to look at.
    slides : iterable of Location
        The slides that it is of, or folders of them; a ledger's own are found by its rows.
    model : Model, optional
        The weights that it is of.
    workers : int
        Processes that look at files.
    mend : callable, optional
        Makes again what is lost, of a target and its verdict.
    on_verdict : callable
        Is told of each verdict.

    Raises
    ------
    SlideError
        A slide that was named cannot be read; of those in folders, such are left out.
    """
    at_hand = _at_hand([*slides])
    finder = Finder(Shelf(at_hand), model.sha256 if model else "")
    targets = _once(target for path in paths for target in finder.targets(path))
    verdicts = []
    for target, verdict in zip(targets, _examined(targets, workers), strict=True):
        if mend is not None and verdict.faults:
            verdict = mend(target, verdict)
        verdicts.append(verdict)
        on_verdict(verdict)
    return Verification(tuple(verdicts))


def _at_hand(slides: Sequence[Location]) -> tuple[SlideAtHand, ...]:
    """The slides that are named, and those in folders that can be read."""
    found = []
    for each in gather_slides(slides).slides if slides else ():
        try:
            found.append(SlideAtHand.at(each.slide))
        except WsiNucsslError:
            if each.slide in slides:
                raise
    return tuple(found)


def _once(targets: Iterable[Target]) -> list[Target]:
    """Each thing once, however often it was named: as it was found first, by a ledger say."""
    found: dict[tuple[Path, str], Target] = {}
    for target in targets:
        found.setdefault((target.path.absolute(), str(target.look)), target)
    return [*found.values()]


def _examined(targets: Sequence[Target], workers: int) -> Iterator[Verdict]:
    if workers == 1 or len(targets) < 2 or _bytes_of(targets) < _WORTH_PROCESSES:
        yield from map(Target.examined, targets)
        return
    with ProcessPoolExecutor(min(workers, len(targets)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(Target.examined, targets)


def _bytes_of(targets: Iterable[Target]) -> int:
    files = (path for each in targets for path in (each.path, *each.path.rglob("*")))
    return sum(path.stat().st_size for path in files if path.is_file())
