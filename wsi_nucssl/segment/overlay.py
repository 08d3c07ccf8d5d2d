"""Look at a result: nuclei drawn on their slide, as outlines near by and as density from afar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.captions import ColourBar, Item, Scale, Swatch, captioned, colours_of
from wsi_nucssl.checks import one_of, within
from wsi_nucssl.doubts import warn_of
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.export.columns import COLUMNS
from wsi_nucssl.geometry import Box
from wsi_nucssl.scale_bar import ScaleBar
from wsi_nucssl.segment.drawable import Drawable, DrawableNuclei, open_drawable
from wsi_nucssl.slide import RGB, Canvas, Slide, identity

Shape = Literal["auto", "outlines", "density"]
Colour = tuple[int, int, int]
Outlined = tuple[DrawableNuclei, list[NDArray[np.float64]]]
"""A nucleus and its rings in px of the picture."""

_MAX_PX: Final = 64 * 2**20
_SHIFT: Final = 4
"""OpenCV draws at 1/16 px with this many fractional bits."""
_EDGE_PX: Final = 4
_FARTHEST: Final = 2**30
_NUCLEUS_UM: Final = 7.0
_NUCLEUS_PX: Final = 28.0
"""Across a nucleus, in level-0 px where nobody knows how large those are."""
_LEAST_DRAWN_PX: Final = 3.5
"""Of the picture; outlines of smaller nuclei run together."""
_PERCENTILES: Final = (1, 99)
"""The colours' range: a few extreme nuclei would take all the contrast."""
_CELL_PX: Final = 4
_SMOOTH_CELLS: Final = 2.5
_NO_VALUE: Final = (150, 150, 150)
_COLOURS: Final = "viridis"
_MOST_CLASSES: Final = 12
_MOST_HELD: Final = 20_000
"""Nuclei whose outlines are kept from one pass to the next; some 40 MB."""


@dataclass(frozen=True, slots=True)
class OverlayStyle:
    """How nuclei are drawn.

    Attributes
    ----------
    shape : {"auto", "outlines", "density"}
        "auto" draws outlines where nuclei are large enough in the picture to have one, else their density.
    color : tuple of int or None
        RGB of all outlines; None takes those of the nuclei's classes.
    width : float
        Of outlines, in px of the picture.
    fill : float
        How much of the tissue the nuclei's insides cover, 0 to 1.
    color_by : str
        A measurement that gives the colours, by its name in tables ("area_um2") or in QuPath ("Area µm^2").
    plain : bool
        Leave out scale bar, legend and colour bar, which lie below the picture.

    Raises
    ------
    UsageError
        A value is out of range, or `color` and `color_by` are both given.
    """

    shape: Shape = "auto"
    color: Colour | None = None
    width: float = 1.0
    fill: float = 0.0
    color_by: str = ""
    plain: bool = False

    def __post_init__(self) -> None:
        one_of("shape", self.shape, Shape)
        within("width", self.width, 0.5, 50)
        within("fill", self.fill, 0, 1)
        if self.color is not None and self.color_by:
            raise UsageError("⟨color⟩ and ⟨color_by⟩ contradict each other", remedy="Give one of them")


PLAIN: Final = OverlayStyle(plain=True)
"""Outlines of the classes' colours, and nothing beside the picture."""


def draw_overlay(
    slide: Slide,
    nuclei: Path,
    region: Box | None = None,
    zoom: float = 1.0,
    style: OverlayStyle | None = None,
    *,
    anyway: bool = False,
) -> RGB:
    """The nuclei of a file on `slide`: uint8 RGB (row, col, 3).

    Parameters
    ----------
    slide : Slide
        It stays the caller's to close.
    nuclei : Path
        A GeoJSON of ours, of QuPath or of others, or our GeoParquet.
    region : Box, optional
        level-0 box to draw; the whole slide by default.
    zoom : float
        px of the picture per level-0 px.
    style : OverlayStyle, optional
        How they are drawn.
    anyway : bool
        Also where the file says that its nuclei are another slide's.

    Raises
    ------
    InputError
        The file holds no polygons, or the nuclei of another slide, or no nucleus has the measurement asked for.
    UsageError
        The region lies off the slide, or the picture would be larger than 64 Mpx.
    """
    style = style or OverlayStyle()
    region = _checked(region, slide, zoom)
    source = open_drawable(nuclei, style.color_by)
    if not anyway:
        _check_slide(slide, source)
    canvas = Canvas.at_scale(slide, 1 / zoom)
    corner = round(region.x0 * zoom), round(region.y0 * zoom)
    picture = canvas.read(
        Box(*corner, max(corner[0] + 1, round(region.x1 * zoom)), max(corner[1] + 1, round(region.y1 * zoom)))
    )
    um_per_px = None if slide.mpp is None else slide.mpp.mean / zoom
    view = _View(picture, zoom, corner, um_per_px)
    is_far = style.shape == "density" or (style.shape == "auto" and view.is_far)
    items = _draw_density(view, source, style) if is_far else _draw_outlines(view, source, style)
    warn_of(source.doubts, nuclei)
    if style.plain:
        return picture
    bar = ScaleBar.within(max(picture.shape[1], 300) / 5, um_per_px)
    return captioned(picture, [Scale(bar), *items])


def _checked(region: Box | None, slide: Slide, zoom: float) -> Box:
    whole = Box(0, 0, slide.dimensions.width, slide.dimensions.height)
    region = region or whole
    if not region.overlaps(whole):
        raise UsageError(
            f"⟨region⟩ {region.xywh} lies off the slide, which is {slide.dimensions} px",
            remedy="Give X Y WIDTH HEIGHT in level-0 px of this slide",
        )
    if region.size.area * zoom * zoom > _MAX_PX:
        raise UsageError("the picture would be too large", remedy="Give a smaller ⟨region⟩ or ⟨zoom⟩")
    return region


def _check_slide(slide: Slide, source: Drawable) -> None:
    theirs = source.header.get("slide")
    if isinstance(theirs, str) and theirs != identity(slide):
        name = source.header.get("slide_name")
        raise InputError(
            f"its nuclei are those of another slide{f', {name}' if name else ''}, and not of {slide.path.name}",
            path=source.path,
            remedy="Give the slide that it was made of, or ⟨anyway⟩ to draw it all the same",
        )


@dataclass(frozen=True, slots=True)
class _View:
    """The picture, drawn on in place, and where it lies."""

    picture: RGB
    zoom: float
    corner: tuple[int, int]
    um_per_px: float | None

    @property
    def is_far(self) -> bool:
        """True where a nucleus is too small to have an outline."""
        across = _NUCLEUS_UM / self.um_per_px if self.um_per_px else _NUCLEUS_PX * self.zoom
        return across < _LEAST_DRAWN_PX

    def box_of(self, source: Drawable) -> tuple[float, float, float, float]:
        """xmin, ymin, xmax, ymax of what may be seen, in the file's px."""
        x, y = source.origin
        rows, cols = self.picture.shape[:2]
        left, top = (place - _EDGE_PX for place in self.corner)
        right, bottom = self.corner[0] + cols + _EDGE_PX, self.corner[1] + rows + _EDGE_PX
        return left / self.zoom - x, top / self.zoom - y, right / self.zoom - x, bottom / self.zoom - y

    def placed(self, ring: NDArray[np.float64], source: Drawable) -> NDArray[np.float64]:
        """Vertices in px of the picture, from pixel corners."""
        moved: NDArray[np.float64] = (ring + np.array(source.origin)) * self.zoom - np.array(self.corner)
        return moved


def _draw_outlines(view: _View, source: Drawable, style: OverlayStyle) -> list[Item]:
    """Draw each nucleus that may be seen; returns what the legend says."""
    shown = _held(lambda: _visible(view, source))
    if style.color_by:
        low, high = _range(np.fromiter((each.value for each, _ in shown()), np.float64), source, style)
        table = colours_of(_COLOURS)
        _paint(
            view, lambda: ((rings, _colour(each.value, low, high, table)) for each, rings in shown()), style
        )
        return [ColourBar(table, _number(low), _number(high), _label(style.color_by))]
    classes: Counter[tuple[str, Colour]] = Counter()

    def coloured() -> Iterator[tuple[Sequence[NDArray[np.float64]], Colour]]:
        classes.clear()
        for each, rings in shown():
            colour = style.color or each.colour
            classes[each.name, colour] += 1
            yield rings, colour

    _paint(view, coloured, style)
    swatches = classes.most_common(_MOST_CLASSES)
    return [Swatch(colour, f"{name or 'Nuclei'} ({count:,})") for (name, colour), count in swatches]


def _held(nuclei: Callable[[], Iterator[Outlined]]) -> Callable[[], Iterator[Outlined]]:
    """The nuclei, to be gone through several times: a region's are held, those of a whole slide read again."""
    first = [*islice(nuclei(), _MOST_HELD + 1)]
    return nuclei if len(first) > _MOST_HELD else lambda: iter(first)


def _visible(view: _View, source: Drawable) -> Iterator[Outlined]:
    """Each nucleus that reaches the picture, and its rings there."""
    rows, cols = view.picture.shape[:2]
    for each in source.near(view.box_of(source)):
        rings = [view.placed(ring, source) for ring in each.rings]
        low, high = rings[0].min(axis=0), rings[0].max(axis=0)
        if high[0] >= 0 and high[1] >= 0 and low[0] <= cols and low[1] <= rows:
            yield each, rings


def _paint(
    view: _View,
    nuclei: Callable[[], Iterator[tuple[Sequence[NDArray[np.float64]], Colour]]],
    style: OverlayStyle,
) -> None:
    """Insides first, where they are wanted, so that they cover no outline."""
    picture = view.picture
    if style.fill:
        filled = picture.copy()
        for rings, colour in nuclei():
            cv2.fillPoly(filled, _fixed(rings), colour, cv2.LINE_AA, _SHIFT)
        picture[:] = cv2.addWeighted(picture, 1 - style.fill, filled, style.fill, 0)
    for rings, colour in nuclei():
        cv2.polylines(picture, _fixed(rings), True, colour, max(1, round(style.width)), cv2.LINE_AA, _SHIFT)


def _fixed(rings: Sequence[NDArray[np.float64]]) -> list[NDArray[np.int32]]:
    """As OpenCV draws them, which counts from pixel centres; without what lies too far away for it."""
    near = (ring for ring in rings if np.abs(ring).max() * 2**_SHIFT < _FARTHEST)
    return [np.rint((ring - 0.5) * 2**_SHIFT).astype(np.int32) for ring in near]


def _draw_density(view: _View, source: Drawable, style: OverlayStyle) -> list[Item]:
    """Draw how dense nuclei lie, or the mean of a measurement; returns the colour bar."""
    rows, cols = (-(-side // _CELL_PX) for side in view.picture.shape[:2])
    counts, sums = np.zeros(rows * cols), np.zeros(rows * cols)
    for xy, values in source.centres(view.box_of(source)):
        cell = np.floor(view.placed(xy, source) / _CELL_PX).astype(np.int64)
        inside = ((cell >= 0) & (cell < [cols, rows])).all(axis=1) & np.isfinite(values)
        place = cell[inside, 1] * cols + cell[inside, 0]
        counts += np.bincount(place, minlength=rows * cols)
        sums += np.bincount(place, values[inside], minlength=rows * cols)
    smooth, smooth_sums = (_smoothed(each.reshape(rows, cols)) for each in (counts, sums))
    shown = smooth > 0.02 * max(float(smooth.max()), 1e-12)
    if style.color_by:
        if not counts.any():
            raise _no_values(source, style)
        values, label = smooth_sums / np.maximum(smooth, 1e-12), f"mean {_label(style.color_by)}"
    else:
        area = (_CELL_PX * (view.um_per_px or 1) / 1000) ** 2
        values, label = smooth / area, "nuclei per mm²" if view.um_per_px else "nuclei per 1000 × 1000 px"
    low, high = np.percentile(values[shown], _PERCENTILES).tolist() if shown.any() else (0.0, 1.0)
    table = colours_of(_COLOURS)
    part = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    coloured = table[np.rint(part * (len(table) - 1)).astype(np.int64)]
    size = (cols * _CELL_PX, rows * _CELL_PX)
    height, width = view.picture.shape[:2]
    colour = cv2.resize(coloured, size, interpolation=cv2.INTER_LINEAR)[:height, :width]
    alpha = cv2.resize(np.clip(smooth / max(float(smooth.max()), 1e-12) * 12, 0, 0.75), size)[
        :height, :width, None
    ]
    view.picture[:] = np.rint(view.picture * (1 - alpha) + colour * alpha).astype(np.uint8)
    return [ColourBar(table, _number(low), _number(high), label)]


def _smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(
        cv2.GaussianBlur(values, (0, 0), _SMOOTH_CELLS, borderType=cv2.BORDER_REFLECT), np.float64
    )


def _range(values: NDArray[np.float64], source: Drawable, style: OverlayStyle) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if len(values) and not len(finite):
        raise _no_values(source, style)
    low, high = np.percentile(finite, _PERCENTILES).tolist() if len(finite) else (0.0, 1.0)
    return low, high if high > low else low + 1


def _no_values(source: Drawable, style: OverlayStyle) -> InputError:
    known = ", ".join(source.measurements) or "none"
    return InputError(
        f"no nucleus there has the measurement {style.color_by!r}",
        path=source.path,
        remedy=f"Choose ⟨color_by⟩ among those that it has: {known}",
    )


def _colour(value: float, low: float, high: float, table: NDArray[Any]) -> Colour:
    if not np.isfinite(value):
        return _NO_VALUE
    part = min(max((value - low) / (high - low), 0.0), 1.0)
    red, green, blue = table[round(part * (len(table) - 1))].tolist()
    return red, green, blue


def _label(measurement: str) -> str:
    """A measurement as people read it: "Area µm²" for "area_um2"."""
    known = {name: column for column in COLUMNS for name in (column.name, column.qupath)}.get(measurement)
    if known is None:
        return measurement
    return f"{known.measurement.replace('_', ' ')} {known.unit}".strip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
