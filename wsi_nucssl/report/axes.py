"""Where the marks of an axis stand."""

from __future__ import annotations

import math

from wsi_nucssl.scale_bar import round_down


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers from `low` to `high`, about as many as wanted."""
    if not high > low:
        return [low]
    step = round_down((high - low) / wanted)
    if (high - low) / step > 2 * wanted:
        step *= 2
    first = math.ceil(low / step - 1e-9)
    count = math.floor((high - first * step) / step + 1e-9)
    return [round((first + index) * step, 10) for index in range(count + 1)]


def number(value: float) -> str:
    """For people: "12,345", "0.35"."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
