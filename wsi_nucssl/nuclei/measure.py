"""Measurements of instances: integer sums over pixels and rings, then closed formulas.

Sums are taken relative to each instance's seed and are exact integers, so a nucleus measures the same to
the last bit whichever window it was read in. Lengths are in canvas px, areas in px².

- area: pixels. probability: mean of P(body) + P(boundary). hematoxylin_od: mean optical density.
- perimeter: of the exterior, 0.948 · (edge length) − 0.278 · (corners): the corner-count estimator of
  Proffitt & Rosen (1979) for 4-connected contours, unbiased over directions of straight edges (a staircase
  alone measures 27 % too long).
- circularity: 4π · area / perimeter², at most 1.
- major_axis, minor_axis: of the ellipse with the same second moments, each pixel a unit square (the 1/12
  below); eccentricity is that ellipse's.
- solidity: area over the area of the convex hull of the pixel corners.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.nuclei.compiled import compiled
from wsi_nucssl.nuclei.polygons import Polygons
from wsi_nucssl.nuclei.stain import OD_STEP

_EDGE, _CORNER = 0.948, -0.278


def measure(
    labels: NDArray[np.int32],
    probabilities: NDArray[np.uint8],
    polygons: Polygons,
    seed_xy: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Measure the labels 1 … n of an int32 (row, col) image.

    Parameters
    ----------
    labels : ndarray of int32
        int32 (row, col).
    probabilities : ndarray of uint8
        uint8 (3 + T, row, col), as in `instances`.
    polygons : Polygons
        Those of `labels`.
    seed_xy : ndarray of int64
        int64 (n, 2), any pixel (x, y) close to each instance.

    Returns
    -------
    ndarray of float32
        (n, 9), columns `table.MEASUREMENTS`.
    """
    sums = _pixel_sums(labels, probabilities, seed_xy).astype(np.float64)
    edge, corners, hull = _ring_sums(polygons.ring_xy, polygons.ring_offsets, polygons.polygon_offsets)
    area = sums[:, 0]
    perimeter = _EDGE * edge + _CORNER * corners
    major, minor = _ellipse_axes(sums)
    columns = (
        area,
        perimeter,
        np.minimum(4 * np.pi * area / perimeter**2, 1),
        major,
        minor,
        np.sqrt(1 - (minor / major) ** 2),
        area / hull,
        sums[:, 6] / area / 255,
        sums[:, 7] / area * OD_STEP,
    )
    return np.stack(columns, axis=1).astype(np.float32)


def _ellipse_axes(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Full major and minor axis in px from the sums 1, x, y, x², y², xy."""
    area, x, y, xx, yy, xy = sums[:, :6].T
    var_x = xx / area - (x / area) ** 2 + 1 / 12
    var_y = yy / area - (y / area) ** 2 + 1 / 12
    cov = xy / area - (x / area) * (y / area)
    middle, spread = (var_x + var_y) / 2, np.hypot((var_x - var_y) / 2, cov)
    # a pixel is a unit square, so no eigenvalue is below 1/12; rounding must not make it so
    return 4 * np.sqrt(middle + spread), 4 * np.sqrt(np.maximum(middle - spread, 1 / 12))


@compiled
def _pixel_sums(
    labels: NDArray[np.int32], probabilities: NDArray[np.uint8], seed_xy: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Sums of 1, x, y, x², y², xy, P(body) + P(boundary), hematoxylin for each label; int64 (n, 8)."""
    sums = np.zeros((len(seed_xy), 8), np.int64)
    for row in range(labels.shape[0]):
        for col in range(labels.shape[1]):
            label = labels[row, col]
            if label == 0:
                continue
            x, y = col - seed_xy[label - 1, 0], row - seed_xy[label - 1, 1]
            total = sums[label - 1]
            total[0] += 1
            total[1] += x
            total[2] += y
            total[3] += x * x
            total[4] += y * y
            total[5] += x * y
            total[6] += min(255, np.int64(probabilities[0, row, col]) + np.int64(probabilities[1, row, col]))
            total[7] += probabilities[-1, row, col]
    return sums


@compiled
def _ring_sums(
    ring_xy: NDArray[np.int32], ring_offsets: NDArray[np.int64], polygon_offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Edge length, corners and hull area of each polygon's exterior."""
    count = len(polygon_offsets) - 1
    edge, corners, hull = np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.float64)
    for polygon in range(count):
        first, last = ring_offsets[polygon_offsets[polygon]], ring_offsets[polygon_offsets[polygon] + 1]
        ring = ring_xy[first:last]
        corners[polygon] = len(ring) - 1
        for vertex in range(len(ring) - 1):
            edge[polygon] += abs(ring[vertex + 1, 0] - ring[vertex, 0])
            edge[polygon] += abs(ring[vertex + 1, 1] - ring[vertex, 1])
        hull[polygon] = _hull_area(ring)
    return edge, corners, hull


@compiled
def _hull_area(ring: NDArray[np.int32]) -> float:
    """Area of the convex hull of a ring's vertices (monotone chain: Andrew 1979)."""
    left, top = ring[:, 0].min(), ring[:, 1].min()
    keys = np.empty(len(ring), np.int64)
    for vertex in range(len(ring)):
        keys[vertex] = (np.int64(ring[vertex, 0] - left) << 32) + np.int64(ring[vertex, 1] - top)
    keys.sort()
    hull = np.empty((2 * len(keys), 2), np.int64)
    size, floor = 0, 1
    for step in range(2 * len(keys) - 1):
        if step == len(keys):
            floor = size
        key = keys[step] if step < len(keys) else keys[2 * len(keys) - 2 - step]
        x, y = key >> 32, key & 0xFFFFFFFF
        while size > floor and _turn(hull[size - 2], hull[size - 1], x, y) <= 0:
            size -= 1
        hull[size, 0], hull[size, 1] = x, y
        size += 1
    twice = 0
    for vertex in range(size - 1):
        twice += hull[vertex, 0] * hull[vertex + 1, 1] - hull[vertex + 1, 0] * hull[vertex, 1]
    return abs(twice) / 2


@compiled
def _turn(a: NDArray[np.int64], b: NDArray[np.int64], x: int, y: int) -> int:
    """Twice the signed area of the triangle a, b, (x, y)."""
    return int((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]))
