"""Nuclei drawn on their slide by matplotlib: https://matplotlib.org."""

from __future__ import annotations

import base64
import difflib
import io
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from numpy.typing import NDArray

from wsi_nucssl import checks
from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.columns import TYPE
from wsi_nucssl.geometry import Box
from wsi_nucssl.result.outlines import exteriors
from wsi_nucssl.result.points import shown_outlines
from wsi_nucssl.scale_bar import ScaleBar
from wsi_nucssl.schema import types_of

if TYPE_CHECKING:
    from wsi_nucssl.result.result import Result

_PICTURE_PX: Final = 1600
_OUTLINE: Final = "#00a050"
_FILL: Final = 0.4
_LIGHT_VIRIDIS: Final = ListedColormap(colormaps["viridis"](np.linspace(0.25, 1, 256)), "light viridis")
"""Without its dark end, which does not show on dark nuclei."""
_THIN: Final = 0.6
_MANY: Final = 2000
"""From this many nuclei on, lines are thin."""
_PERCENTILES: Final = (1, 99)
"""The colours' range: a few extreme nuclei would take all the contrast."""
_NO_TYPE: Final = (128, 128, 128)
"""Colour of a type that the model does not know: of a class that somebody gave by hand."""
_UNITS: Final = {"_um2": "µm²", "_um": "µm", "_px2": "px²", "_px": "px"}
_BAR: Final = 0.2
"""The longest scale bar, as a part of the picture's width."""


def draw(
    result: Result,
    ax: Axes | None,
    *,
    color_by: str | None,
    region: Box | None,
    picture: bool,
    cmap: str | None,
) -> Axes:
    """See `Result.plot`."""
    if ax is not None and not isinstance(ax, Axes):
        raise UsageError(
            f"⟨ax⟩ is matplotlib's Axes, not {checks.shown(ax)}", remedy="Name a column with ⟨color_by⟩"
        )
    if isinstance(cmap, str) and cmap not in colormaps:
        near = ", ".join(difflib.get_close_matches(cmap, [*colormaps])) or "viridis"
        raise UsageError(f"matplotlib has no ⟨cmap⟩ {cmap!r}", remedy=f"Choose another, such as {near}")
    color_by = _area(result) if isinstance(color_by, str) and color_by == "auto" else color_by
    by_type = isinstance(color_by, str) and color_by == TYPE and TYPE in result.table
    values = None if color_by is None or by_type else _numbers(result, color_by)
    ax = _new_axes(region or result.frame.region) if ax is None else ax
    shown = region or result.frame.region
    if picture and result.picture is not None:
        pixels = result.picture.read(shown, _PICTURE_PX)
        ax.imshow(pixels, extent=(shown.x0, shown.x1, shown.y1, shown.y0), interpolation="antialiased")
    if by_type:
        _add_types(ax, result)
    else:
        colors = _add_nuclei(ax, result, values, cmap)
    ax.set(xlim=(shown.x0, shown.x1), ylim=(shown.y1, shown.y0), aspect="equal")
    ax.set(xlabel="x (level-0 px)", ylabel="y (level-0 px)")
    if values is not None:
        beside = ax.inset_axes((1.02, 0, 0.03, 1))
        ax.figure.colorbar(colors, cax=beside, extend="both", label=label_of(color_by or ""))
    _draw_scale_bar(ax, shown, result.frame.mpp.x if result.frame.mpp else None)
    return ax


def as_png_uri(result: Result, side_inches: float = 3.6) -> str:
    """A small plot of outlines as a PNG in a data URI."""
    figure = Figure(figsize=(side_inches, side_inches), dpi=100, layout="constrained")
    ax = draw(result, figure.subplots(), color_by=None, region=None, picture=True, cmap=None)
    ax.set_axis_off()
    for nuclei in ax.collections:
        nuclei.set_linewidth(_THIN)
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight", pad_inches=0)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def label_of(column: str) -> str:
    """A column's name as people read it: "area (µm²)" for "area_um2"."""
    for ending, unit in _UNITS.items():
        if column.endswith(ending):
            return f"{column.removesuffix(ending).replace('_', ' ')} ({unit})"
    return column.replace("_", " ")


def _new_axes(shown: Box) -> Axes:
    """Of a new figure, of the picture's shape and a colour bar beside it."""
    import matplotlib.pyplot as plt

    aspect = min(max(shown.height / shown.width, 0.4), 1.6)
    _, ax = plt.subplots(figsize=(8, 1 + 6.2 * aspect), layout="compressed")
    return ax


def _numbers(result: Result, column: str) -> NDArray[np.float64]:
    table = result.table
    known = [name for name in table.columns if table[name].dtype.kind in "biuf"]
    if not isinstance(column, str) or column not in known:
        raise UsageError(
            f"⟨color_by⟩ {checks.shown(column)} is no column of numbers",
            remedy=f"Choose one of {', '.join(known)}",
        )
    values: NDArray[np.float64] = table[column].to_numpy(np.float64)
    return values


def _area(result: Result) -> str | None:
    """The column of the area, where there is one."""
    return next((name for name in ("area_um2", "area_px2") if name in result.table), None)


def _add_nuclei(
    ax: Axes, result: Result, values: NDArray[np.float64] | None, cmap: str | None
) -> ScalarMappable:
    """Outlines, or nuclei filled so lightly that the tissue shows; returns what the colour bar shows."""
    rings, owners = exteriors(shown_outlines(result))
    width = 1.2 if len(rings) < _MANY else _THIN
    finite = np.empty(0) if values is None else values[np.isfinite(values)]
    low, high = np.percentile(finite, _PERCENTILES) if len(finite) else (0.0, 1.0)
    colors = ScalarMappable(Normalize(low, high if high > low else low + 1), cmap or _LIGHT_VIRIDIS)
    if values is None:
        nuclei = PolyCollection(rings, facecolors="none", edgecolors=_OUTLINE, linewidths=width)
    else:
        edges = colors.to_rgba(values[owners])
        faces = colors.to_rgba(values[owners], alpha=_FILL)
        nuclei = PolyCollection(rings, facecolors=faces, edgecolors=edges, linewidths=width)
    ax.add_collection(nuclei)
    return colors


def _add_types(ax: Axes, result: Result) -> None:
    """Nuclei in the colours of their types, and a legend of the types that there are."""
    names = result.table[TYPE].to_numpy()
    known = {each.name: each.color for each in types_of(result.header.get("types", ()))}
    looks = {
        name: np.array(known.get(name, _NO_TYPE)) / 255 for name in [*known, *sorted({*names} - {*known})]
    }
    rings, owners = exteriors(shown_outlines(result))
    colors = np.array([looks[name] for name in names[owners]]).reshape(-1, 3)
    width = 1.2 if len(rings) < _MANY else _THIN
    faces = np.column_stack([colors, np.full(len(colors), _FILL)])
    ax.add_collection(PolyCollection(rings, facecolors=faces, edgecolors=colors, linewidths=width))
    patches = [Patch(color=(*look,), label=name or "none") for name, look in looks.items() if name in names]
    ax.legend(handles=patches, title=TYPE, loc="upper left", bbox_to_anchor=(1.01, 1))


def _draw_scale_bar(ax: Axes, shown: Box, mpp: float | None) -> None:
    """A bar of a round length in the lower left corner, on white so that it shows on any tissue."""
    length = ScaleBar.within(_BAR * shown.width, mpp)
    bar = AnchoredSizeBar(
        ax.transData,
        length.px,
        length.text,
        "lower left",
        pad=0.4,
        borderpad=0.6,
        sep=4,
        size_vertical=shown.height / 200,
        label_top=True,
        fill_bar=True,
    )
    bar.patch.set(alpha=0.85, linewidth=0)
    ax.add_artist(bar)
