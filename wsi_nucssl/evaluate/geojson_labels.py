"""GeoJSON polygons to a label image: what anybody's tool wrote for QuPath becomes comparable."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from wsi_nucssl.datasets.polygons import Polygon, rasterise
from wsi_nucssl.datasets.sample import LabelImage, Shape
from wsi_nucssl.errors import DatasetError

_HALF_PX = 0.5
"""GeoJSON counts from pixel corners; a pixel belongs to the polygon that holds its centre."""


def read_geojson_labels(path: Path, shape: Shape) -> LabelImage:
    """Draw the polygons of a .geojson or .geojson.gz onto an int32 label image of `shape` (rows, cols), 1 … n.

    Coordinates are px of the image on pixel corners, as QuPath counts them: pixel (x, y) covers
    [x, x+1) × [y, y+1). Holes stay holes; the parts of a MultiPolygon are one nucleus; where polygons overlap, the
    earlier keeps the pixel.

    Raises
    ------
    DatasetError : not GeoJSON, or a feature that is not a polygon.
    """
    try:
        features = _features(_load(path))
        outlines = [_outline(feature["geometry"]) for feature in features]
    except (OSError, EOFError, zlib.error, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"not a GeoJSON file of polygons ({error})",
            path=path,
            remedy="Export a FeatureCollection of Polygon or MultiPolygon features",
        ) from error
    return rasterise(outlines, shape)


def _load(path: Path) -> Any:
    data = path.read_bytes()
    return orjson.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def _features(content: Any) -> list[Any]:
    """The features of a collection, of a bare list (older QuPath exports), or the one feature."""
    if isinstance(content, list):
        return content
    if content["type"] == "Feature":
        return [content]
    features: list[Any] = content["features"]
    return features


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
    if points.ndim != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise ValueError("a ring needs at least three finite points")
    points = points[:, :2]
    return np.concatenate([points, points[:1]])
