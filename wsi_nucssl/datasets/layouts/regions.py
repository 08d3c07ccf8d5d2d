"""Slides with rectangles, drawn in QuPath, in which every nucleus is annotated: each rectangle is an image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from wsi_nucssl.datasets.choice import ALL, AnnotationChoice
from wsi_nucssl.datasets.geojson_labels import classes_in, read_outlines, seem_in_um
from wsi_nucssl.datasets.label_files import GEOJSON_SUFFIXES
from wsi_nucssl.datasets.layouts.folders import folders_of
from wsi_nucssl.datasets.organs import organ_of
from wsi_nucssl.datasets.pairing import (
    check_complete,
    files_in,
    image_stem,
    is_proposal,
    note_on_proposals,
)
from wsi_nucssl.datasets.polygons import area_of, rasterise
from wsi_nucssl.datasets.registry import Layout
from wsi_nucssl.datasets.sample import Dataset, Image, LabelImage, Sample, Shape
from wsi_nucssl.errors import DatasetError, SlideError
from wsi_nucssl.export.json_stream import chunks
from wsi_nucssl.export.objects import as_ring
from wsi_nucssl.export.reading import NucleiFile
from wsi_nucssl.geometry import Box, Point
from wsi_nucssl.slide import Slide, open_slide
from wsi_nucssl.slide.finding import slides_in

_MOST_PX: Final = 1 << 26
_OVERLAP: Final = 256
_SIDES: Final = 4
_SLACK_PX: Final = 1.0
_HALF_PX: Final = 0.5


def open_regions(path: Path, choice: AnnotationChoice = ALL) -> Dataset | None:
    """Slides and their GeoJSON in one folder, or in images/ and labels/; None if no object is of the class of regions.

    The regions of a slide are called after it and the place of their corner: slide-x2048-y512.
    """
    images, labels = folders_of(path) or (path, path)
    drawn = files_in(labels, GEOJSON_SUFFIXES)
    if not any(_mentions(file, choice.regions) for file in drawn):
        return None
    slides = {image_stem(slide): slide for slide in slides_in(images).slides if slide.parent == images}
    annotations = {image_stem(file): file for file in drawn}
    check_complete(path, slides, annotations)
    if choice.classes:
        choice.check_seen(set().union(*map(classes_in, drawn)), path)
    proposed = {name for name, file in annotations.items() if is_proposal(file)}
    notes = note_on_proposals(len(proposed), len(slides), path)
    samples = [
        sample
        for name in sorted(slides.keys() - proposed)
        for sample in _samples(slides[name], annotations[name], choice, is_alone=len(slides) == 1)
    ]
    return Dataset(path, "regions", tuple(sorted(samples, key=lambda sample: sample.id)), notes)


LAYOUT = Layout(open_regions, open_regions)


def _mentions(file: Path, name: str) -> bool:
    """Whether the text of a file may hold an object of a class, with QuPath's star or without."""
    wanted = re.compile(rf'"{re.escape(name.strip().removesuffix("*"))}\*?"'.encode(), re.IGNORECASE)
    before = b""
    for piece in chunks(file):
        if wanted.search(before + piece):
            return True
        before = piece[-_OVERLAP:]
    return False


def _samples(slide: Path, file: Path, choice: AnnotationChoice, *, is_alone: bool) -> Iterator[Sample]:
    """The regions of a slide; where there are several slides, those of one stay on one side of a split."""
    with _open(slide) as opened:
        origin, mpp, extent = opened.bounds.origin, opened.mpp, opened.dimensions
    whole = Box.at(Point(0, 0), extent)
    boxes = {box.shift(origin.x, origin.y) for box in _boxes(file, choice)}
    if not boxes:
        raise DatasetError(
            f"no annotation is of the class {choice.regions!r}",
            path=file,
            remedy="Draw a rectangle of that class around finished nuclei, or move slide and annotation out",
        )
    for box in boxes:
        if box.clip(whole) != box or box.width * box.height > _MOST_PX:
            raise DatasetError(
                f"the region at ({box.x0}, {box.y0}) of {box.width} × {box.height} px is not within the slide of "
                f"{extent.width} × {extent.height} px, or has more than {_MOST_PX >> 20} Mpx",
                path=file,
                remedy="Draw it inside the slide, and smaller; coordinates are px, not µm",
            )
        yield Sample(
            id=f"{image_stem(slide)}-x{box.x0}-y{box.y0}",
            organ=organ_of(image_stem(slide)),
            source=file,
            read_image=partial(_read_image, slide, box),
            read_labels=partial(_read_labels, file, box, origin, None if mpp is None else mpp.mean, choice),
            mpp=None if mpp is None else mpp.mean,
            mpp_source="" if mpp is None else "slide",
            patient=None if is_alone else image_stem(slide),
        )


def _open(path: Path) -> Slide:
    try:
        return open_slide(path)
    except SlideError as error:
        raise DatasetError(error.what, path=path, remedy=error.remedy) from error


def _boxes(file: Path, choice: AnnotationChoice) -> Iterator[Box]:
    """The rectangles of a file, in whole px.

    Raises
    ------
    DatasetError
        A region is no upright rectangle.
    """
    for feature in NucleiFile(file).features():
        if not choice.is_region(feature):
            continue
        geometry = feature.get("geometry") or {}
        try:
            (ring,) = geometry["coordinates"]
            corners = as_ring(ring)
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(
                f"a region is a {geometry.get('type', 'thing without geometry')}, not one rectangle",
                path=file,
                remedy="Draw it with QuPath's rectangle tool",
            ) from error
        (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
        if len(corners) < _SIDES or (x1 - x0) * (y1 - y0) - area_of(corners) > _SLACK_PX * (
            x1 - x0 + y1 - y0
        ):
            raise DatasetError(
                f"the region at ({x0:.0f}, {y0:.0f}) is no upright rectangle",
                path=file,
                remedy="Draw it with QuPath's rectangle tool, and do not turn it",
            )
        yield Box(round(x0), round(y0), round(x1), round(y1))


def _read_image(slide: Path, box: Box) -> Image:
    with _open(slide) as opened:
        try:
            return opened.read_level(0, box)
        except SlideError as error:
            raise DatasetError(error.what, path=slide, remedy=error.remedy) from error


def _read_labels(
    file: Path, box: Box, origin: Point, mpp: float | None, choice: AnnotationChoice, _shape: Shape
) -> LabelImage:
    """The nuclei of a region; those that its edges cut are there in part, as in any image."""
    outlines, ours = read_outlines(file, choice)
    if not ours and mpp is not None and seem_in_um(outlines, mpp):
        raise DatasetError(
            f"its {len(outlines)} polygons are far too small for nuclei in px: the coordinates seem to be in µm",
            path=file,
            remedy="Export coordinates in px of the slide",
        )
    corner = np.array([box.x0 - origin.x, box.y0 - origin.y])
    moved = (outline - corner for outline in outlines)
    size = np.array([box.width, box.height])
    near = [
        each for each in moved if (each.max(axis=0) >= -_HALF_PX).all() and (each.min(axis=0) < size).all()
    ]
    return rasterise(near, (box.height, box.width))
