"""Regions out of a file of annotations, or an error that says why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from wsi_nucssl.annotation_classes import REGION, is_ignored, is_named, is_one_of, unstarred
from wsi_nucssl.errors import InputError
from wsi_nucssl.geometry import Box, Mpp, Point, Size
from wsi_nucssl.grid import ORIGIN
from wsi_nucssl.slide.annotations import REMEDY, Annotation, Polygon, annotations_in
from wsi_nucssl.slide.base import Slide
from wsi_nucssl.slide.roi import Roi
from wsi_nucssl.slide.tissue import TissueMask

_LEAST_UM2: Final = 100.0
"""A large nucleus has as much."""


def read_roi(
    path: Path,
    classes: Sequence[str] = (),
    *,
    size: Size,
    corner: Point = ORIGIN,
    mpp: Mpp | None = None,
) -> Roi:
    """Read annotations as regions.

    Parameters
    ----------
    path : Path
        A GeoJSON file, as QuPath exports annotations: polygons, with holes or in several parts.
    classes : sequence of str
        The classes that count, "Tumor" with "Tumor: Positive" too; all by default. Annotations of another class that
        QuPath ignores, whose name ends in "*", are cut out, but for "Region*".
    size : Size
        Of the slide, in level-0 px.
    corner : Point
        What the file's coordinates count from: the corner of the slide's bounds.
    mpp : Mpp, optional
        µm per level-0 px.

    Raises
    ------
    InputError
        The file holds no polygon of these classes, one that crosses itself, one off the slide, or only what is smaller
        than a nucleus; the message names it.
    """
    annotations = annotations_in(path)
    areas: list[Polygon] = []
    cuts: list[Polygon] = []
    shift = np.array([corner.x, corner.y])
    for number, each in enumerate(annotations, start=1):
        counts = _counts(each.kind, classes)
        if not counts and not _is_cut(each.kind):
            continue
        _check_rings(each, number, path)
        placed = [[ring + shift for ring in polygon] for polygon in each.polygons]
        if counts:
            _check_place(each, number, placed, size, path)
        (areas if counts else cuts).extend(placed)
    if not areas:
        raise _no_area(annotations, classes, path)
    if mpp is not None:
        _check_size(areas, mpp, path)
    return Roi(path, tuple(areas), tuple(cuts))


def roi_of(slide: Slide, path: Path | None, classes: Sequence[str] = ()) -> Roi | None:
    """The regions of an open slide, as `read_roi` reads them; None without a file."""
    if path is None:
        return None
    return read_roi(path, classes, size=slide.dimensions, corner=slide.bounds.origin, mpp=slide.mpp)


def check_unit(roi: Roi, tissue: TissueMask, slide: Slide) -> None:
    """Refuse regions on glass that would lie on tissue if their coordinates were µm.

    Raises
    ------
    InputError
        They would.
    """
    whole = Box.at(ORIGIN, slide.dimensions)
    if slide.mpp is None or roi.tissue_mm2(tissue, whole):
        return
    corner = np.array([slide.bounds.x0, slide.bounds.y0])
    side = np.array([slide.mpp.x, slide.mpp.y])
    read_as_um = replace(
        roi, areas=tuple([(ring - corner) / side + corner for ring in each] for each in roi.areas)
    )
    if whole.contains(read_as_um.box) and read_as_um.tissue_mm2(tissue, whole):
        raise InputError(
            "its regions hold no tissue, and would if their coordinates were µm",
            path=roi.path,
            remedy="Give coordinates in px of level 0, as QuPath exports them",
        )


def _counts(kind: str, classes: Sequence[str]) -> bool:
    if classes:
        return is_one_of(unstarred(kind), map(unstarred, classes))
    return is_named(kind, REGION) or not is_ignored(kind)


def _is_cut(kind: str) -> bool:
    return is_ignored(kind) and not is_named(kind, REGION)


def _called(each: Annotation, number: int) -> str:
    said = ", ".join(text for text in (each.name, each.kind) if text)
    return f"annotation {number} ({said})" if said else f"annotation {number}"


def _check_rings(each: Annotation, number: int, path: Path) -> None:
    import shapely

    for polygon in each.polygons:
        try:
            why = shapely.is_valid_reason(shapely.Polygon(polygon[0], polygon[1:]))
        except (ValueError, IndexError):
            why = "fewer than three corners"
        if why != "Valid Geometry":
            raise InputError(
                f"{_called(each, number)} has an outline that is none: {why}",
                path=path,
                remedy="Draw it again in QuPath, or simplify its shape there, and export it again",
            )


def _check_place(each: Annotation, number: int, placed: Sequence[Polygon], size: Size, path: Path) -> None:
    if not placed:
        return
    box = Roi(path, tuple(placed)).box
    if not box.overlaps(Box.at(ORIGIN, size)):
        raise InputError(
            f"{_called(each, number)} lies off the slide: it reaches from ({box.x0}, {box.y0}) to ({box.x1}, {box.y1}) "
            f"of {size.width} × {size.height} px",
            path=path,
            remedy="Check that the file belongs to this slide, and that its coordinates are px of level 0",
        )


def _check_size(areas: Sequence[Polygon], mpp: Mpp, path: Path) -> None:
    import shapely

    largest = max(shapely.Polygon(polygon[0], polygon[1:]).area for polygon in areas)
    if largest * mpp.x * mpp.y < _LEAST_UM2:
        raise InputError(
            f"its largest region has {largest:.3g} px², {largest * mpp.x * mpp.y:.2g} µm², no more than a nucleus: "
            "the coordinates seem to be in µm",
            path=path,
            remedy="Give coordinates in px of level 0, as QuPath exports them",
        )


def _no_area(annotations: Sequence[Annotation], classes: Sequence[str], path: Path) -> InputError:
    drawn = [each for each in annotations if each.polygons]
    if not annotations:
        return InputError(
            "it holds no annotation; detections, cells and tiles are none", path=path, remedy=REMEDY
        )
    if not drawn:
        return InputError(
            f"none of its {len(annotations)} annotations is a polygon: points and lines have no area",
            path=path,
            remedy="Draw the regions with QuPath's rectangle, polygon or brush, and export them",
        )
    known = ", ".join(sorted({each.kind for each in drawn if each.kind})) or "no class at all"
    if classes:
        return InputError(
            f"no polygon is of the class {' or '.join(classes)}",
            path=path,
            remedy=f"Give another ⟨roi_class⟩: there is {known}",
        )
    return InputError(
        f"all its polygons are of classes that QuPath ignores ({known})",
        path=path,
        remedy="Name the one that counts with ⟨roi_class⟩, or give the regions another class",
    )
