"""Nine places of a slide worth a look, each zoomed in with the outlines that were found there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.geometry import Box
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.report.images import jpeg_uri
from wsi_nucssl.report.tally import Tally, in_canvas_px
from wsi_nucssl.scale_bar import ScaleBar
from wsi_nucssl.segment.reporting import NucleiNear, Subject
from wsi_nucssl.slide import Canvas

COUNT: Final = 9
_SIDE_UM: Final = 80.0
_PICTURE_PX: Final = 420
_QUALITY: Final = 82
_MOST_OUTLINES: Final = 400
"""Of one sample: more of them is no tissue, and would only make the page heavy."""

Place = tuple[str, str, Box, tuple[float, float] | None]
"""Title, what it shows, the region in canvas px, and the nucleus that it is about."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A nucleus in a sample: the path of its outline as SVG draws it, and whether the sample is about it."""

    path: str
    is_focus: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """A zoomed place.

    Attributes
    ----------
    title, note : str
        What it is, and why it is looked at.
    uri : str
        The picture, as a data URI.
    width, height : int
        Of the region in canvas px, in which outlines are drawn.
    outlines : tuple of Outline
        The nuclei in it.
    bar : ScaleBar
        In canvas px.
    x_l0, y_l0 : int
        The region's corner in level-0 px, as QuPath shows places.
    at_x, at_y : float
        Its middle in per cent of the slide's width and height.
    """

    title: str
    note: str
    uri: str
    width: int
    height: int
    outlines: tuple[Outline, ...]
    bar: ScaleBar
    x_l0: int
    y_l0: int
    at_x: float
    at_y: float


def choose(tally: Tally, subject: Subject) -> list[Place]:
    """Nine places; they overlap only where a small slide has no room for more."""
    um = subject.context.mpp.mean
    places: list[Place] = []
    for title, box in zip(("Densest", "Sparsest"), tally.density.extremes(_SIDE_UM) or (), strict=False):
        note = f"the most {'crowded' if title == 'Densest' else 'empty'} {_SIDE_UM:g} µm of tissue"
        middle = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        inside = _moved_inside(_around(middle, round(_SIDE_UM / um)), subject)
        if all(inside != each[2] for each in places):
            places.append((title, note, inside, None))
    for title, note, candidates, wanted in (
        ("Largest nucleus", "{:.0f} µm²", tally.largest, 1),
        ("Least sure", "the network is {:.0%} sure of the marked one", tally.least_sure, 2),
        ("On a seam", "where two pieces of the slide were joined", tally.on_seams, 1),
        ("At random", "a nucleus picked by chance", tally.by_chance, COUNT),
    ):
        more: list[Place] = []
        for x, y, value in candidates:
            reach = 2.5 * math.sqrt(value) if title == "Largest nucleus" else 0.0
            box = _around((x, y), round(max(_SIDE_UM, reach) / um))
            more.append((title, note.format(value), _moved_inside(box, subject), (x, y)))
        places += _apart(more, places)[: min(wanted, COUNT - len(places))]
    return places


def _apart(places: list[Place], others: list[Place]) -> list[Place]:
    """Those first that overlap none before them, then those that show another nucleus at least."""
    first: list[Place] = []
    for each in places:
        if not any(each[2].overlaps(other[2]) for other in (*others, *first)):
            first.append(each)
    seen = {other[3] for other in (*others, *first)}
    return first + [each for each in places if each not in first and each[3] not in seen]


def _around(xy: tuple[float, float], side: int) -> Box:
    x, y = round(xy[0]) - side // 2, round(xy[1]) - side // 2
    return Box(x, y, x + side, y + side)


def _moved_inside(box: Box, subject: Subject) -> Box:
    """The box moved, and where it must be cut, so that it lies on the slide."""
    extent = subject.windows.extent
    dx = max(0, -box.x0) or min(0, extent.width - box.x1)
    dy = max(0, -box.y0) or min(0, extent.height - box.y1)
    return box.shift(dx, dy).clip(Box(0, 0, extent.width, extent.height))


def draw_samples(tally: Tally, subject: Subject, near: NucleiNear) -> list[Sample]:
    """The nine places with what was found there."""
    places = choose(tally, subject)
    boxes = [box for _, _, box, _ in places]
    found = _outlines_in(boxes, [each[3] for each in places], subject, near(boxes) if boxes else ())
    return [_sample(place, outlines, subject) for place, outlines in zip(places, found, strict=True)]


def _sample(place: Place, outlines: list[Outline], subject: Subject) -> Sample:
    title, note, box, _ = place
    transform, um = subject.context.transform, subject.context.mpp.mean
    corner = round(box.x0 * transform.scale_x), round(box.y0 * transform.scale_y)
    far = round(box.x1 * transform.scale_x), round(box.y1 * transform.scale_y)
    scale = max(1.0, (far[0] - corner[0]) / _PICTURE_PX)
    region = Box(*corner, max(far[0], corner[0] + 1), max(far[1], corner[1] + 1))
    canvas = Canvas.at_scale(subject.slide, scale)
    pixels = canvas.read(region.in_px_of(canvas.scale_x, canvas.scale_y))
    bar = ScaleBar.within(box.width / 3, um)
    origin = round(transform.origin_x), round(transform.origin_y)
    return Sample(
        title,
        note,
        jpeg_uri(pixels, _QUALITY),
        box.width,
        box.height,
        tuple(outlines),
        bar,
        corner[0] - origin[0],
        corner[1] - origin[1],
        50 * (box.x0 + box.x1) / subject.windows.extent.width,
        50 * (box.y0 + box.y1) / subject.windows.extent.height,
    )


def _outlines_in(
    boxes: list[Box],
    focuses: list[tuple[float, float] | None],
    subject: Subject,
    tables: Iterable[Nuclei],
) -> list[list[Outline]]:
    """Of each box the nuclei that may be seen in it; `tables` are gone through once."""
    found: list[list[Outline]] = [[] for _ in boxes]
    for table in tables:
        if not len(table):
            continue
        nuclei = in_canvas_px(table, subject)
        centres = nuclei.centroids_xy()
        first = nuclei.ring_offsets[nuclei.polygon_offsets[:-1]]
        low, high = (each.reduceat(nuclei.ring_xy, first, axis=0) for each in (np.minimum, np.maximum))
        for box, focus, outlines in zip(boxes, focuses, found, strict=True):
            seen = ((high > [box.x0, box.y0]) & (low < [box.x1, box.y1])).all(axis=1)
            for row in np.flatnonzero(seen)[: _MOST_OUTLINES - len(outlines)].tolist():
                is_focus = focus is not None and bool(np.abs(centres[row] - focus).max() < 0.5)
                outlines.append(Outline("".join(_path(nuclei, row, box)), is_focus))
    return found


def _path(nuclei: Nuclei, row: int, box: Box) -> Iterator[str]:
    for ring in nuclei.rings(row):
        moved: NDArray[np.int64] = _corners(ring - np.array([box.x0, box.y0]))
        steps = np.diff(moved, axis=0)
        yield f"M{moved[0, 0]} {moved[0, 1]}l{' '.join(map(str, chain.from_iterable(steps.tolist())))}z"


def _corners(ring: NDArray[np.int64]) -> NDArray[np.int64]:
    """A closed ring without its last vertex."""
    return ring[:-1]
