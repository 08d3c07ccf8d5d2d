"""How long a scale bar is, and what stands at it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """A bar of a round length.

    Attributes
    ----------
    px : float
        Its length in px of the picture.
    text : str
        Its length for people: "50 µm", "2 mm"; "100 px" where nobody knows the resolution.
    """

    px: float
    text: str

    @classmethod
    def within(cls, longest_px: float, um_per_px: float | None) -> Self:
        """The longest bar of 1, 2 or 5 times a power of ten that is at most `longest_px` px long."""
        per_px = um_per_px or 1.0
        length = round_down(longest_px * per_px)
        if um_per_px is None:
            return cls(length, f"{length:g} px")
        text = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
        return cls(length / per_px, text)


def round_down(value: float) -> float:
    """The largest of 1, 2 and 5 times the powers of ten that is at most `value`, which is above 0."""
    power = 10.0 ** math.floor(math.log10(value))
    return float(max(step * power for step in (1, 2, 5) if step * power <= value * (1 + 1e-9)))
