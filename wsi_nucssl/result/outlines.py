"""Outlines as shapely has them, and painted as label images."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from wsi_nucssl.geometry import Box
from wsi_nucssl.nuclei.painting import paint_polygons

Outlines = NDArray[np.object_]
"""(n,) shapely polygons; from other programs' files multipolygons too."""


def polygons_of(
    xy: NDArray[np.float64], ring_offsets: NDArray[np.int64], polygon_offsets: NDArray[np.int64]
) -> Outlines:
    """Polygons from ragged arrays, all at once: vertices (m, 2), where rings begin, where polygons begin."""
    kind = shapely.GeometryType.POLYGON
    polygons: Outlines = shapely.from_ragged_array(kind, xy, (ring_offsets, polygon_offsets))
    return polygons


def paint(outlines: Outlines, scale: NDArray[np.float64], box: Box) -> NDArray[np.int32]:
    """Label image of polygons: number i + 1 where the centre of a px lies in polygon i, the later one where two do.

    Parameters
    ----------
    outlines : Outlines
        (n,) polygons in level-0 px.
    scale : ndarray of float64
        (2,), level-0 px per px of the label image along x and y.
    box : Box
        The px to paint.

    Returns
    -------
    ndarray of int32
        (row, col) of the box. Polygons that were traced along these px give back their masks exactly.
    """
    labels = np.zeros(box.size.shape_rc, np.int32)
    parts, owner = shapely.get_parts(outlines, return_index=True)
    if len(parts):
        _, xy, (rings, polygons) = shapely.to_ragged_array(parts)
        corners = xy / scale - np.array([box.x0, box.y0])
        paint_polygons(labels, corners, rings.astype(np.int64), polygons.astype(np.int64), owner + 1)
    return labels


def exteriors(outlines: Outlines) -> tuple[list[NDArray[np.float64]], NDArray[np.intp]]:
    """The outer rings of all polygons, float64 (vertices, 2) each, and whose they are: a multipolygon has several."""
    parts, owners = shapely.get_parts(outlines, return_index=True)
    rings: list[NDArray[np.float64]] = [
        shapely.get_coordinates(ring) for ring in shapely.get_exterior_ring(parts)
    ]
    return rings, owners


def bounding_box(outlines: Outlines) -> Box:
    """The least box of whole level-0 px around all polygons; one px where there is none."""
    if not len(outlines):
        return Box(0, 0, 1, 1)
    x0, y0, x1, y1 = shapely.total_bounds(outlines)
    return Box(int(np.floor(x0)), int(np.floor(y0)), int(np.ceil(x1)), int(np.ceil(y1)))


def centroids(outlines: Outlines) -> NDArray[np.float64]:
    """Centroids (n, 2) as (x, y)."""
    points: Any = shapely.centroid(outlines)
    return np.column_stack([shapely.get_x(points), shapely.get_y(points)]).astype(np.float64)
