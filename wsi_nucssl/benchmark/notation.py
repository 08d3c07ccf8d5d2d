"""How numbers and tables are written in reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from wsi_nucssl.metrics.metric import Unit


def table_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def with_interval(unit: Unit, value: float, interval: tuple[float, float]) -> str:
    """A value and its interval, both in `unit`."""
    low, high = map(unit.text, interval)
    return f"{unit.text(value)} [{low}, {high}]"


def number(value: float) -> float | None:
    """A value for JSON, which knows no nan."""
    return None if math.isnan(value) else value


def finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Values for JSON."""
    return {name: number(value) for name, value in values.items()}
