"""Resolutions as people state them: what a microscope's are, when two are the same, what a slip of units looks like."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from wsi_nucssl.checks import as_number, shown
from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Mpp

DEFAULT_MPP = 0.25
"""What is assumed of images of which nobody states it, where a caller does not say otherwise: 40×."""

LEAST_MPP, LARGEST_MPP = 0.05, 4.0
"""What lies outside is a slip of units or of the pen, not a microscope's."""

_SAME = 1.02

_REMEDY: Final = "Give µm per pixel: 0.25 for 40×, 0.5 for 20×"

_USUAL_UM: Final = (0.125, 0.25, 0.5, 1.0, 2.0)
"""What scanners make, near enough: 80× to 5×."""

_MAGNIFICATIONS: Final = (5, 10, 20, 40, 60, 63, 80, 100)

_SLIPS: Final[dict[str, Callable[[float], float]]] = {
    "a magnification": lambda value: 10 / value if value in _MAGNIFICATIONS else 0.0,
    "mm": lambda value: value * 1e3,
    "nm": lambda value: value / 1e3,
    "cm": lambda value: value * 1e4,
    "inch": lambda value: value * 25_400,
    "m": lambda value: value * 1e6,
}
"""Other ways to state a resolution, and the µm per px that a number then means."""


@dataclass(frozen=True, slots=True)
class GivenMpp:
    """What a user says of a slide's resolution.

    Attributes
    ----------
    um : float or None
        µm per level-0 px; it fills in what the file does not say.
    is_forced : bool
        The user vouches for it: `um` goes before what the file says, and an unusual resolution is not questioned.
    """

    um: float | None = None
    is_forced: bool = False

    @classmethod
    def parse(cls, mpp: Mpp | float | None, force: bool = False, name: str = "mpp") -> Self:
        """What was typed; a number that is no microscope's resolution is refused unless forced.

        Raises
        ------
        UsageError
            It is no resolution, or lies outside 0.05 … 4 and is not forced.
        """
        um = None if mpp is None else Mpp.parse_side(mpp, name)
        if um is not None and not force:
            require_plausible(um, name)
        return cls(um, force)


NOT_GIVEN: Final = GivenMpp()


def same_mpp(one: float, other: float) -> bool:
    """True if two resolutions are one: within 2 %, which is what scanners' own figures scatter by."""
    return max(one, other) <= _SAME * min(one, other)


def is_plausible(mpp: float) -> bool:
    """True from 0.05 to 4 µm per px."""
    return LEAST_MPP <= mpp <= LARGEST_MPP


def require_plausible(mpp: float, name: str = "mpp") -> None:
    """Refuse an mpp that a caller gives.

    Raises
    ------
    UsageError
        It is no number, or lies outside 0.05 … 4.
    """
    if as_number(mpp) is None and not isinstance(mpp, float):  # what is not finite is outside
        raise UsageError(f"⟨{name}⟩ must be a number, not {shown(mpp)}", remedy=_REMEDY)
    if not is_plausible(mpp):
        raise UsageError(
            f"an ⟨{name}⟩ of {mpp:g} µm per px is outside {LEAST_MPP:g} … {LARGEST_MPP:g}{slip(mpp)}",
            remedy=_REMEDY,
        )


def slip(value: float) -> str:
    """What an implausible number of µm per px looks like, as the rest of a sentence; "" if nothing is likely.

    Examples
    --------
    >>> slip(0.00025)
    '; it looks like mm, which would be 0.25 µm'
    >>> slip(250)
    '; it looks like nm, which would be 0.25 µm'
    """
    if is_plausible(value) or value <= 0:
        return ""
    meant = {unit: um for unit, as_um in _SLIPS.items() if is_plausible(um := as_um(value))}
    if not meant:
        return ""
    unit = min(meant, key=lambda each: _octaves_from_usual(meant[each]))
    return f"; it looks like {unit}, which would be {meant[unit]:.3g} µm"


def _octaves_from_usual(um: float) -> float:
    return round(min(abs(math.log2(um / usual)) for usual in _USUAL_UM), 1)
