"""Ragged polygons to well-known binary, all at once: what GeoParquet, databases and geographic libraries hold.

A polygon is a byte order (1, little-endian), the type (uint32, 3), the number of rings (uint32), and each ring as its
number of vertices (uint32) and their (x, y) as float64: OGC 06-103r4 §8.2, https://www.ogc.org/standards/sfa.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_HEAD: Final = np.frombuffer(b"\x01\x03\x00\x00\x00", np.uint8)
"""Byte order and type."""
_POLYGON_BYTES: Final = len(_HEAD) + 4
_RING_BYTES: Final = 4
_VERTEX_BYTES: Final = 16


def polygons_to_wkb(
    xy: NDArray[np.float64], ring_offsets: NDArray[np.int64], polygon_offsets: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Polygons as well-known binary, end to end.

    Parameters
    ----------
    xy : ndarray of float64
        (m, 2) vertices; each ring ends with its first vertex again.
    ring_offsets : ndarray of int64
        (r + 1,), ring i is `xy[ring_offsets[i]:ring_offsets[i + 1]]`.
    polygon_offsets : ndarray of int64
        (n + 1,), the rings of polygon i likewise.

    Returns
    -------
    ndarray of uint8
        The bytes of all polygons.
    ndarray of int64
        (n + 1,), polygon i is `bytes[offsets[i]:offsets[i + 1]]`.
    """
    count, rings = len(polygon_offsets) - 1, len(ring_offsets) - 1
    offsets = (
        np.arange(count + 1) * _POLYGON_BYTES
        + polygon_offsets * _RING_BYTES
        + ring_offsets[polygon_offsets] * _VERTEX_BYTES
    )
    polygon_of_ring = np.repeat(np.arange(count), np.diff(polygon_offsets))
    ring_starts = (
        (polygon_of_ring + 1) * _POLYGON_BYTES
        + np.arange(rings) * _RING_BYTES
        + ring_offsets[:-1] * _VERTEX_BYTES
    )
    wkb = np.empty(offsets[-1], np.uint8)
    is_vertex = np.ones(len(wkb), np.bool_)
    _put(wkb, is_vertex, offsets[:-1], np.broadcast_to(_HEAD, (count, len(_HEAD))))
    _put(wkb, is_vertex, offsets[:-1] + len(_HEAD), _uint32(np.diff(polygon_offsets)))
    _put(wkb, is_vertex, ring_starts, _uint32(np.diff(ring_offsets)))
    wkb[is_vertex] = np.ascontiguousarray(xy, "<f8").view(np.uint8).ravel()
    return wkb, offsets.astype(np.int64)


def _put(
    wkb: NDArray[np.uint8],
    is_vertex: NDArray[np.bool_],
    starts: NDArray[np.int64],
    content: NDArray[np.uint8],
) -> None:
    """Write rows of bytes, one at each start, which are then no vertices."""
    places = starts[:, None] + np.arange(content.shape[1])
    wkb[places] = content
    is_vertex[places] = False


def _uint32(numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Little-endian, uint8 (n, 4)."""
    return numbers.astype("<u4").view(np.uint8).reshape(-1, 4)
