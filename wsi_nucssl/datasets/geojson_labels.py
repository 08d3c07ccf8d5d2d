"""GeoJSON polygons to a label image: what anybody's tool wrote for QuPath becomes comparable."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from wsi_nucssl.annotation_classes import class_of
from wsi_nucssl.datasets.choice import ALL, AnnotationChoice
from wsi_nucssl.datasets.polygons import Polygon, area_of, rasterise
from wsi_nucssl.datasets.sample import LabelImage, Shape
from wsi_nucssl.doubts import warn_of
from wsi_nucssl.errors import DatasetError
from wsi_nucssl.export.objects import Nucleus
from wsi_nucssl.export.reading import NucleiFile

_HALF_PX = 0.5
"""GeoJSON counts from pixel corners; a pixel belongs to the polygon that holds its centre."""
_ENOUGH = 3
_CORNER = 0.55
_SMALL_PX2 = 60.0
"""Nuclei of 0.5 µm per px cover about 120 px², a quarter of that when their corners are given in µm."""
_FINE_MPP = 0.6
"""µm per px up to which nuclei are larger than that."""


def read_geojson_labels(path: Path, shape: Shape, choice: AnnotationChoice = ALL) -> LabelImage:
    """Draw the polygons of a .geojson or .geojson.gz onto an int32 label image of `shape` (rows, cols), 1 … n.

    Coordinates are px of the image on pixel corners, as QuPath counts them: pixel (x, y) covers
    [x, x+1) × [y, y+1). Holes stay holes; what is a nucleus is said by `NucleiFile` and `choice`; where polygons
    overlap, the earlier keeps the pixel.

    Raises
    ------
    InputError
        Not GeoJSON.
    DatasetError
        A feature is not a polygon, or no polygon covers a pixel.
    """
    outlines, ours = read_outlines(path, choice)
    if not ours:  # ours are in px, and hold nuclei alone
        _check_unit(outlines, shape, path)
        _check_frames(outlines, shape, path)
    labels = rasterise(outlines, shape)
    if outlines and not labels.any():
        raise DatasetError(
            f"none of its {len(outlines)} polygons covers a pixel of the image, {shape[1]} × {shape[0]} px",
            path=path,
            remedy="Give coordinates in px of this image, counted from its top left corner",
        )
    return labels


def read_outlines(path: Path, choice: AnnotationChoice) -> tuple[list[Polygon], bool]:
    """The even-odd outline of each nucleus on pixel centres, and whether the file is one of ours.

    Raises
    ------
    InputError
        Not GeoJSON.
    DatasetError
        A feature is not a polygon.
    """
    nuclei = NucleiFile(path, choice.leaves_out)
    try:
        outlines = [_outline(nucleus) for nucleus in nuclei]
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"not a GeoJSON file of polygons ({error})",
            path=path,
            remedy="Export a FeatureCollection of Polygon or MultiPolygon features",
        ) from error
    warn_of(nuclei.doubts, path)
    return outlines, bool(nuclei.header)


def classes_in(path: Path) -> set[str]:
    """The names of the classes of a file's objects.

    Raises
    ------
    InputError
        Not GeoJSON.
    """
    try:
        return {class_of(feature) for feature in NucleiFile(path).features()}
    except TypeError as error:
        raise DatasetError(f"not GeoJSON ({error})", path=path, remedy="Export it again") from error


def seem_in_um(outlines: list[Polygon], mpp: float) -> bool:
    """Whether outlines on a slide of this mpp are far too small for nuclei in px."""
    median = float(np.median([area_of(outline) for outline in outlines])) if outlines else np.inf
    return len(outlines) >= _ENOUGH and mpp < _FINE_MPP and median < _SMALL_PX2


def _outline(nucleus: Nucleus) -> Polygon:
    """All rings of a nucleus as one even-odd outline: bridges to each ring and back cancel out."""
    rings = [np.concatenate([ring, ring[:1]]) for ring in nucleus.rings()]
    start = rings[0][:1]
    return np.concatenate([points for ring in rings for points in (ring, start)]) - _HALF_PX


def _check_unit(outlines: list[Polygon], shape: Shape, path: Path) -> None:
    """Refuse coordinates in µm: all in the corner of the image, and far too small for nuclei."""
    if len(outlines) < _ENOUGH:
        return
    reach = np.max([outline.max(axis=0) for outline in outlines], axis=0)
    area = float(np.median([area_of(outline) for outline in outlines]))
    if (reach < _CORNER * np.array(shape[::-1])).all() and area < _SMALL_PX2:
        raise DatasetError(
            f"its {len(outlines)} polygons reach to ({reach[0]:.0f}, {reach[1]:.0f}) of an image of {shape[1]} × "
            f"{shape[0]} px, and their median area is {area:.3g} px²: the coordinates seem to be in µm",
            path=path,
            remedy="Export coordinates in px of the image",
        )


def _check_frames(outlines: list[Polygon], shape: Shape, path: Path) -> None:
    """Refuse a polygon around the others, which would be scored as a nucleus and hide them."""
    if len(outlines) < _ENOUGH:
        return
    largest = max(outlines, key=area_of)
    around = np.asarray(largest, np.float32)
    inside = sum(cv2.pointPolygonTest(around, (float(x), float(y)), False) > 0 for (x, y), *_ in outlines)
    if area_of(largest) > shape[0] * shape[1] / 2 and inside > (len(outlines) - 1) / 2:
        raise DatasetError(
            f"one of its {len(outlines)} polygons covers more than half of the image: it seems to be a region "
            "around the nuclei",
            path=path,
            remedy="Export the nuclei without the annotation around them, or give it the class Region",
        )
