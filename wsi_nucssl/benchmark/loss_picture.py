"""The cost of each perturbation as bars."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.benchmark.losses import Loss
from wsi_nucssl.metrics.aggregated_jaccard import AJI

_WIDTH_IN, _DPI = 8.0, 150
_LINE_IN, _BAR_IN = 0.32, 0.17
"""Height of a perturbation's line, at least, and of each method's bar in it."""
_FILLED: Final = 0.82
"""Fraction of a line that its bars take."""


def draw_losses(losses: Mapping[str, Mapping[str, Loss]], plain: Mapping[str, float], title: str) -> bytes:
    """PNG of horizontal bars: the paired loss of AJI in points for each perturbation, a colour for each method.

    Whiskers are one standard error.

    Parameters
    ----------
    losses : Mapping[str, Mapping[str, Loss]]
        By method, then by perturbation; the same perturbations for all.
    plain : Mapping[str, float]
        Mean AJI of each method without perturbation, a fraction.
    title : str
        Above the bars.
    """
    from matplotlib.figure import Figure

    names = list(next(iter(losses.values())))
    line = max(_LINE_IN, _BAR_IN * len(losses) / _FILLED)
    figure = Figure(figsize=(_WIDTH_IN, line * len(names) + 1.1 + 0.25 * len(losses)), layout="constrained")
    axes = figure.subplots()
    thickness = _FILLED / len(losses)
    for number, (method, of_method) in enumerate(losses.items()):
        places = np.arange(len(names)) + (number + 0.5) * thickness - _FILLED / 2
        label = f"{method}: AJI {AJI.text(plain[method])} {AJI.unit.symbol} without perturbation"
        _draw_bars(axes, [of_method[name] for name in names], places, thickness, f"C{number % 10}", label)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.margins(x=0.09)
    axes.axvline(0, color="0.2", linewidth=1, zorder=4)
    axes.grid(axis="x", alpha=0.3, zorder=0)
    axes.set_xlabel("mean loss of AJI, percentage points (below 0: a gain); whiskers: ± 1 standard error")
    figure.suptitle(title, fontsize="large")
    figure.legend(loc="outside lower left", frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _draw_bars(
    axes: Any,
    losses: Sequence[Loss],
    places: NDArray[np.floating],
    thickness: float,
    colour: str,
    label: str,
) -> None:
    """One method's bars, whiskers and values; an undefined loss has none."""
    values = AJI.unit.scale * np.array([loss.paired for loss in losses])
    errors = AJI.unit.scale * np.nan_to_num([loss.error for loss in losses])
    axes.barh(places, values, 0.94 * thickness, color=colour, label=label, zorder=2)
    axes.errorbar(values, places, xerr=errors, fmt="none", ecolor="0.2", capsize=2, linewidth=1, zorder=3)
    for place, value, end in zip(places, values, np.maximum(values + errors, 0), strict=True):
        if np.isfinite(value):
            text = f"{value:.1f}".replace("-", "−")
            axes.annotate(
                text, (end, place), (4, 0), textcoords="offset points", va="center", fontsize="small"
            )
