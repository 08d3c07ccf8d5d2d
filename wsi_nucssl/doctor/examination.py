"""The doctor's page: every check, and what they come to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from wsi_nucssl._version import __version__
from wsi_nucssl.doctor.disk import DISKS
from wsi_nucssl.doctor.finding import Check, Line, State, examined
from wsi_nucssl.doctor.gpu import GPU
from wsi_nucssl.doctor.processor import KERNELS, MEMORY, THREADS
from wsi_nucssl.doctor.software import LIBRARIES, PYTHON
from wsi_nucssl.doctor.trial import TRIAL
from wsi_nucssl.doctor.weights import WEIGHTS

CHECKS: Final[tuple[Check[Any], ...]] = (
    PYTHON,
    LIBRARIES,
    KERNELS,
    THREADS,
    MEMORY,
    GPU,
    *DISKS,
    WEIGHTS,
    TRIAL,
)


def examine(checks: Sequence[Check[Any]] = CHECKS) -> Iterator[Line]:
    """One line a check, as each is done; one that raises does not end the others.

    Parameters
    ----------
    checks : sequence of Check
        What to look at; everything by default.
    """
    return map(examined, checks)


def page(lines: Sequence[Line]) -> dict[str, Any]:
    """The lines as JSON values, with the worst state of all; without private names."""
    return {"version": __version__, "state": worst(lines), "checks": [line.to_dict() for line in lines]}


def worst(lines: Sequence[Line]) -> State:
    """The worst state among the lines."""
    states = {line.finding.state for line in lines}
    return "fault" if "fault" in states else "warning" if "warning" in states else "ok"


def refuse_faults(lines: Sequence[Line]) -> None:
    """Make an error of the faults, of the first one's kind and so with its exit code.

    Raises
    ------
    WsiNucsslError
        There is at least one fault.
    """
    faults = [line for line in lines if line.finding.state == "fault"]
    if faults:
        names = ", ".join(line.name for line in faults)
        raise faults[0].finding.kind(f"something is wrong here: {names}", remedy="Do what each line says")
