"""Bars and colour bars as a template draws them: in per cent of the chart's width and height."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from wsi_nucssl.report.axes import number, ticks
from wsi_nucssl.report.spread import Histogram, Spread


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of an axis: where, from 0 to 100, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: left edge, width and height from 0 to 100, and what it says when pointed at."""

    x: float
    width: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class BarChart:
    """A histogram for the page.

    Attributes
    ----------
    title, unit, note : str
        What is measured, in which unit, and what that means.
    bars, ticks : tuple
        What is drawn.
    median_at : float
        Where the median lies, from 0 to 100.
    median, between : str
        The median, and the range that nine of ten nuclei lie in.
    """

    title: str
    unit: str
    note: str
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    median_at: float
    median: str
    between: str

    @classmethod
    def of(cls, spread: Spread, title: str, unit: str, note: str) -> Self:
        """Of what was counted."""
        shown = spread.histogram()
        unit_after = f"\N{NO-BREAK SPACE}{unit}" if unit else ""
        return cls(
            title,
            unit,
            note,
            tuple(_bars(shown, unit_after)),
            axis(shown.low, shown.high),
            _at(shown.median, shown.low, shown.high),
            f"{number(shown.median)}{unit_after}",
            f"{number(shown.low_percentile)} to {number(shown.high_percentile)}{unit_after}",
        )


def _bars(shown: Histogram, unit: str) -> list[Bar]:
    most, each = max(max(shown.counts), 1), 100 / len(shown.counts)
    return [
        Bar(
            index * each,
            each,
            100 * count / most,
            f"{number(shown.low + index * shown.width)} to "
            f"{number(shown.low + (index + 1) * shown.width)}{unit}: {count:,} nuclei",
        )
        for index, count in enumerate(shown.counts)
    ]


def axis(low: float, high: float) -> tuple[Tick, ...]:
    """Round numbers along an axis from `low` to `high`, all with as many decimals."""
    values = ticks(low, high)
    decimals = max((len(number(value).partition(".")[2]) for value in values), default=0)
    return tuple(Tick(_at(value, low, high), f"{value:,.{decimals}f}") for value in values)


def _at(value: float, low: float, high: float) -> float:
    return min(max(100 * (value - low) / (high - low), 0.0), 100.0) if high > low else 0.0
