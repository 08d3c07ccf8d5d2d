"""Polygons to a label image: the inverse of `polygons`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.nuclei.compiled import compiled


@compiled
def paint_polygons(
    labels: NDArray[np.int32],
    xy: NDArray[np.float64],
    ring_offsets: NDArray[np.int64],
    polygon_offsets: NDArray[np.int64],
    numbers: NDArray[np.int64],
) -> None:
    """Write numbers into the px of a label image (row, col) whose centres lie in polygons, the later one where two do.

    Even-odd filling: in each row, a px lies inside if edges cross the row an odd number of times to its left. Polygons
    that were traced along px edges give back their masks exactly. The arrays are ragged as in `Polygons`, `numbers`
    (n,); what lies beyond the image is left out.
    """
    height, width = labels.shape
    for polygon in range(len(numbers)):
        first, last = ring_offsets[polygon_offsets[polygon]], ring_offsets[polygon_offsets[polygon + 1]]
        if first == last:
            continue
        x, y = xy[first:last, 0], xy[first:last, 1]
        top, bottom = max(0, int(np.floor(y.min()))), min(height, int(np.ceil(y.max())))
        left, right = max(0, int(np.floor(x.min()))), min(width, int(np.ceil(x.max())))
        if top >= bottom or left >= right:
            continue
        crossed = np.zeros((bottom - top, right - left + 1), np.uint8)
        for ring in range(polygon_offsets[polygon], polygon_offsets[polygon + 1]):
            for vertex in range(ring_offsets[ring], ring_offsets[ring + 1] - 1):
                _cross(crossed, xy[vertex], xy[vertex + 1], left, top)
        for row in range(bottom - top):
            inside = 0
            for col in range(right - left):
                inside ^= crossed[row, col]
                if inside:
                    labels[top + row, left + col] = numbers[polygon]


@compiled
def _cross(
    crossed: NDArray[np.uint8], start: NDArray[np.float64], end: NDArray[np.float64], left: int, top: int
) -> None:
    """Note in each row whose centre an edge crosses the first px whose centre lies right of it."""
    low, high = min(start[1], end[1]), max(start[1], end[1])
    rows, cols = crossed.shape
    for row in range(max(0, int(np.ceil(low - top - 0.5))), min(rows, int(np.ceil(high - top - 0.5)))):
        middle = top + row + 0.5
        x = start[0] + (end[0] - start[0]) * (middle - start[1]) / (end[1] - start[1])
        col = max(0, int(np.ceil(x - left - 0.5)))
        if col < cols:
            crossed[row, col] ^= 1
