"""Lengths of a pixel as OME-XML and ImageJ write them, in µm."""

from __future__ import annotations

import math
from typing import Final

_UM: Final = {
    "µm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0,
    "micrometers": 1.0, "nm": 1e-3, "pm": 1e-6, "å": 1e-4, "mm": 1e3, "cm": 1e4, "m": 1e6,
    "in": 25_400.0, "inch": 25_400.0,
}  # fmt: skip


def um_of(length: float, unit: str) -> float | None:
    """A length in µm; None for a unit that is no length (such as "pixel"), and for what is no length."""
    word = unit.strip().lower().replace("\\u00b5", "µ").replace("μ", "µ")
    return length * _UM[word] if word in _UM and math.isfinite(length) and length > 0 else None
