"""Label image to polygons that follow pixel edges: the area of a polygon is the area of its mask, exactly.

Pixel (x, y) covers [x, x + 1) × [y, y + 1), so vertices are integer pixel corners. Rings keep their
instance on the right (clockwise on a screen) for the exterior, and so run the other way round for holes.

Why polygons are valid by construction, for 4-connected instances. Where two pixels of an instance touch
only by a corner, the ring turns so that the *outside* stays apart: each ring is the edge of one 4-connected
component of the outside. A ring that met itself in a corner would have pixels of one such component on both
sides of it; their 4-connected path, closed through the corner, would separate the instance's two pixels
there, which are 4-connected: a contradiction. So every ring is simple, two rings meet in single corners at
most, and the interior is connected, because the instance is. Moving all vertices by strictly increasing
maps of x and of y (scale, shift, rounding that keeps neighbouring coordinates apart) moves grid lines
without reordering them, hence keeps all of this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.nuclei.compiled import compiled

_EAST, _SOUTH, _WEST, _NORTH = 0, 1, 2, 3
_STEP_X = (1, 0, -1, 0)
_STEP_Y = (0, 1, 0, -1)
# the pixel, as (x, y) from the vertex, that lies ahead on the left and ahead on the right of each direction
_LEFT_X, _LEFT_Y = (0, 0, -1, -1), (-1, 0, 0, -1)
_RIGHT_X, _RIGHT_Y = (0, -1, -1, 0), (0, 0, -1, -1)


@dataclass(frozen=True, slots=True)
class Polygons:
    """Polygons of n instances as ragged arrays.

    Attributes
    ----------
    ring_xy : ndarray of int32
        int32 (m, 2) vertices (x, y), corners only; each ring ends with its first vertex again.
    ring_offsets : ndarray of int64
        int64 (r + 1,), ring i is `ring_xy[ring_offsets[i]:ring_offsets[i + 1]]`.
    polygon_offsets : ndarray of int64
        int64 (n + 1,), the rings of polygon i likewise: the exterior, then its holes.
    """

    ring_xy: NDArray[np.int32]
    ring_offsets: NDArray[np.int64]
    polygon_offsets: NDArray[np.int64]


def trace_polygons(labels: NDArray[np.int32], count: int) -> Polygons:
    """Polygons of the labels 1 … count of an int32 (row, col) image; each one present and 4-connected."""
    ring_xy, ring_ends, ring_label = _trace_rings(labels)
    order = np.argsort(ring_label, kind="stable")
    lengths = np.diff(ring_ends, prepend=0)
    ring_offsets = np.append(0, np.cumsum(lengths[order]))
    polygon_offsets = np.append(0, np.cumsum(np.bincount(ring_label, minlength=count + 1)[1:]))
    gathered = _gather(ring_xy, (ring_ends - lengths)[order], ring_offsets)
    return Polygons(gathered, ring_offsets.astype(np.int64), polygon_offsets.astype(np.int64))


@compiled
def _trace_rings(
    labels: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """All rings in raster order of their first top edge: vertices, end offsets, labels."""
    height, width = labels.shape
    top_edges = _count_top_edges(labels)
    # t top edges mean t bottom edges, so at most 2 t horizontal runs, 4 t corners, and one more to close
    ring_xy = np.empty((5 * top_edges, 2), np.int32)
    ring_ends = np.empty(top_edges, np.int64)
    ring_label = np.empty(top_edges, np.int64)
    traced = np.zeros((height, width), np.bool_)
    rings, end = 0, 0
    for row in range(height):
        for col in range(width):
            label = labels[row, col]
            if label == 0 or traced[row, col] or (row > 0 and labels[row - 1, col] == label):
                continue
            end = _trace_ring(labels, traced, ring_xy, end, col, row)
            ring_ends[rings], ring_label[rings] = end, label
            rings += 1
    return ring_xy[:end], ring_ends[:rings], ring_label[:rings]


@compiled
def _trace_ring(
    labels: NDArray[np.int32],
    traced: NDArray[np.bool_],
    ring_xy: NDArray[np.int32],
    end: int,
    start_x: int,
    start_y: int,
) -> int:
    """Walk one ring from the top left corner of pixel (start_x, start_y); return the new end of `ring_xy`."""
    height, width = labels.shape
    label = labels[start_y, start_x]
    x, y, direction, start = start_x, start_y, _EAST, end
    ring_xy[end, 0], ring_xy[end, 1] = x, y
    end += 1
    while True:
        if direction == _EAST:
            traced[y, x] = True
        x, y = x + _STEP_X[direction], y + _STEP_Y[direction]
        left_x, left_y = x + _LEFT_X[direction], y + _LEFT_Y[direction]
        right_x, right_y = x + _RIGHT_X[direction], y + _RIGHT_Y[direction]
        turn = 1
        if 0 <= left_x < width and 0 <= left_y < height and labels[left_y, left_x] == label:
            turn = 3
        elif 0 <= right_x < width and 0 <= right_y < height and labels[right_y, right_x] == label:
            turn = 0
        if turn:
            direction = (direction + turn) % 4
            ring_xy[end, 0], ring_xy[end, 1] = x, y
            end += 1
            if x == ring_xy[start, 0] and y == ring_xy[start, 1] and direction == _EAST:
                return end


@compiled
def _count_top_edges(labels: NDArray[np.int32]) -> int:
    count = 0
    for row in range(labels.shape[0]):
        for col in range(labels.shape[1]):
            label = labels[row, col]
            if label and (row == 0 or labels[row - 1, col] != label):
                count += 1
    return count


@compiled
def _gather(
    ring_xy: NDArray[np.int32], starts: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.int32]:
    """The rings that begin at `starts`, one after the other."""
    gathered = np.empty((offsets[-1], 2), np.int32)
    for ring in range(len(starts)):
        shift = starts[ring] - offsets[ring]
        for vertex in range(offsets[ring], offsets[ring + 1]):
            gathered[vertex, 0] = ring_xy[vertex + shift, 0]
            gathered[vertex, 1] = ring_xy[vertex + shift, 1]
    return gathered
