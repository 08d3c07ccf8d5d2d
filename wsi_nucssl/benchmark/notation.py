"""How numbers and tables are written in reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def table_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def percent(value: float) -> str:
    """A fraction in %, two decimals; a dash where it is undefined."""
    return "–" if math.isnan(value) else f"{100 * value:.2f}".replace("-", "−")


def with_interval(value: float, interval: tuple[float, float]) -> str:
    """A fraction and its interval, in %."""
    low, high = interval
    return f"{percent(value)} [{percent(low)}, {percent(high)}]"


def number(value: float) -> float | None:
    """A value for JSON, which knows no nan."""
    return None if math.isnan(value) else value


def finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Values for JSON."""
    return {name: number(value) for name, value in values.items()}
