"""GeoJSON polygons to a label image: what anybody's tool wrote for QuPath becomes comparable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wsi_nucssl.datasets.polygons import Polygon, rasterise
from wsi_nucssl.datasets.sample import LabelImage, Shape
from wsi_nucssl.errors import DatasetError
from wsi_nucssl.export.reading import read_geojson

_HALF_PX = 0.5
"""GeoJSON counts from pixel corners; a pixel belongs to the polygon that holds its centre."""


def read_geojson_labels(path: Path, shape: Shape) -> LabelImage:
    """Draw the polygons of a .geojson or .geojson.gz onto an int32 label image of `shape` (rows, cols), 1 … n.

    Coordinates are px of the image on pixel corners, as QuPath counts them: pixel (x, y) covers
    [x, x+1) × [y, y+1). Holes stay holes; the parts of a MultiPolygon are one nucleus; where polygons overlap, the
    earlier keeps the pixel.

    Raises
    ------
    InputError
        Not GeoJSON.
    DatasetError
        A feature is not a polygon, or no polygon covers a pixel.
    """
    features = read_geojson(path)["features"]
    try:
        outlines = [_outline(feature["geometry"]) for feature in features]
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"not a GeoJSON file of polygons ({error})",
            path=path,
            remedy="Export a FeatureCollection of Polygon or MultiPolygon features",
        ) from error
    labels = rasterise(outlines, shape)
    if outlines and not labels.any():
        raise DatasetError(
            f"none of its {len(outlines)} polygons covers a pixel of the image, {shape[1]} × {shape[0]} px",
            path=path,
            remedy="Give coordinates in px of this image, counted from its top left corner",
        )
    return labels


def _outline(geometry: dict[str, Any]) -> Polygon:
    """All rings of a geometry as one even-odd outline: bridges to each ring and back cancel out."""
    kind, coordinates = geometry["type"], geometry["coordinates"]
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"a feature is a {kind}")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    rings = [_closed(ring) for polygon in polygons for ring in polygon]
    if not rings:
        raise ValueError("a polygon has no ring")
    start = rings[0][:1]
    return np.concatenate([points for ring in rings for points in (ring, start)]) - _HALF_PX


def _closed(ring: list[list[float]]) -> Polygon:
    points = np.asarray(ring, np.float64)
    if points.ndim != 2 or len(points) < 3 or points.shape[1] < 2 or not np.isfinite(points).all():
        raise ValueError("a ring needs at least three finite points")
    points = points[:, :2]
    return np.concatenate([points, points[:1]])
