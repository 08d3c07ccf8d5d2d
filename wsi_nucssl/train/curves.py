"""The curves of a run for people: what each panel shows, in which unit, and which epoch was best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

Row = Mapping[str, float]


class Panel(NamedTuple):
    """Title and unit of a panel."""

    title: str
    unit: str


_PANELS: Final = (
    ("loss", Panel("Loss (lower is better)", "loss")),
    ("validation", Panel("Held-out images (higher is better)", "score, 0 to 1")),
    ("loader_share", Panel("Waiting for data", "fraction of the time, 0 to 1")),
    ("tiles_per_second", Panel("Speed", "tiles per second")),
    ("d_", Panel("Distances and sizes of features", "length")),
    ("redundancy", Panel("Redundancy of features (lower is better)", "mean correlation, 0 to 1")),
)
"""By how the name of a panel's first curve begins."""
_FRACTIONS: Final = Panel("Shares of a batch", "share, 0 to 1")
_NAMES: Final = {
    "validation_aji": "AJI",
    "validation_dice1": "Dice1",
    "loader_share": "waiting",
    "tiles_per_second": "speed",
    "d_ap": "anchor to positive",
    "d_an": "anchor to negative",
}
_BEST: Final = "validation_aji"


def draw_curves(axes: Any, rows: Sequence[Row], names: Sequence[str]) -> None:
    """Draw columns of a history over steps into matplotlib's axes, with title, units, and the best epoch where one is.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    rows : sequence of Row
        The history.
    names : sequence of str
        Columns; those that no row has are left out.
    """
    for name in names:
        points = [(row["step"], row[name]) for row in rows if name in row]
        if points:
            marker = "o" if len(points) < 40 else ""
            axes.plot(
                *zip(*points, strict=True), marker=marker, markersize=3, label=_NAMES.get(name, _plain(name))
            )
    panel = panel_of(names)
    axes.set(title=panel.title, xlabel="step", ylabel=panel.unit)
    axes.grid(alpha=0.3)
    if _BEST in names and (best := best_of(rows)) is not None:
        when = f"epoch {best['epoch']:g}" if "epoch" in best else f"step {best['step']:g}"
        label = f"best: AJI {best[_BEST]:.3f}, {when}"
        axes.axvline(best["step"], color="0.4", linestyle="--", linewidth=1, label=label)
    if axes.has_data():
        axes.legend(fontsize="small")


def panel_of(names: Sequence[str]) -> Panel:
    """What a panel with these columns shows."""
    first = names[0]
    known = next((panel for start, panel in _PANELS if first.startswith(start)), None)
    if known is not None:
        return known
    if first.endswith("norm"):
        return dict(_PANELS)["d_"]
    return _FRACTIONS if "accuracy" in first or first.startswith("active") else Panel(_plain(first), "value")


def best_of(rows: Sequence[Row]) -> Row | None:
    """The row with the highest AJI on held-out images, the first of equal ones; None before there is one."""
    scored = [row for row in rows if _BEST in row]
    return max(scored, key=lambda row: row[_BEST], default=None)


def _plain(name: str) -> str:
    return name.replace("_", " ")
