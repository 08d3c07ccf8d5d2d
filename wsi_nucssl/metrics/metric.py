"""What a metric is: a function of two label images, its unit, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from wsi_nucssl.metrics.contingency import Comparison, Contingency

UNDEFINED: Final = "–"
"""Stands in tables for a value that is nan."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What people read a value in.

    Attributes
    ----------
    symbol : str
        Such as "%" or "px".
    scale : float
        A value times this is in the unit: 100 for a fraction that is read in %.
    """

    symbol: str
    scale: float = 1.0

    def shown(self, value: float) -> float:
        """The value in this unit."""
        return self.scale * value

    def text(self, value: float) -> str:
        """The value in this unit with two decimals, without the symbol; a dash where it is undefined."""
        return UNDEFINED if math.isnan(value) else f"{self.shown(value):.2f}".replace("-", "−")


PERCENT: Final = Unit("%", 100.0)
"""Of fractions from 0 to 1."""
PX: Final = Unit("px")


@dataclass(frozen=True, slots=True)
class Metric:
    """How good a predicted label image is, as one number.

    Attributes
    ----------
    name : str
        In Python, JSON and on the command line, such as "aji_plus".
    title : str
        In tables for people, such as "AJI+".
    of : Callable
        From a `Comparison` to the value: a fraction for %, else in the unit itself; nan where it is undefined.
    unit : Unit
        What people read it in.
    higher_is_better : bool
        Whether a larger value is a better one.
    help : str
        Its definition in one line, for true nuclei T and predicted ones P; for tables of the documentation.
    paper : str
        Where it was defined, as a link.
    """

    name: str
    title: str
    of: Callable[[Comparison], float]
    unit: Unit
    higher_is_better: bool
    help: str
    paper: str = ""

    @property
    def heading(self) -> str:
        """The title, with the unit where that is not %."""
        return self.title if self.unit == PERCENT else f"{self.title}, {self.unit.symbol}"

    @property
    def column(self) -> str:
        """Name of a column of plain values: a fraction, or a number with its unit at the end."""
        return self.name if self.unit == PERCENT else f"{self.name}_{self.unit.symbol}"

    def text(self, value: float) -> str:
        """The value as people read it, without the unit's symbol."""
        return self.unit.text(value)

    def as_json(self) -> dict[str, Any]:
        """What a reader of plain values has to know."""
        return {
            "title": self.title,
            "unit": self.unit.symbol,
            "scale": self.unit.scale,
            "higher_is_better": self.higher_is_better,
        }


def fraction(
    name: str, title: str, of: Callable[[Contingency], float], *, help: str, paper: str = ""
) -> Metric:
    """A metric of the overlaps alone, from 0 to 1 and read in %, of which more is better.

    Parameters
    ----------
    name, title : str
        As in `Metric`.
    of : callable
        From the overlaps to the value.
    help, paper : str
        As in `Metric`.
    """
    return Metric(
        name, title, lambda pair: of(pair.table), PERCENT, higher_is_better=True, help=help, paper=paper
    )
