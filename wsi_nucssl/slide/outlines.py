"""Masks as polygons and back, exactly: outlines run along the pixels' borders."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, int]
Border = tuple[Corner, Corner]
"""Where a side of a pixel begins, and its way."""
Ring = NDArray[np.float64]

_RIGHT: Final = {(1, 0): (0, 1), (0, 1): (-1, 0), (-1, 0): (0, -1), (0, -1): (1, 0)}
"""The way to the right of each way, y downwards."""


def outlines(mask: NDArray[np.bool_]) -> list[list[NDArray[np.int64]]]:
    """Each 4-connected part of a mask as its outer ring and those of its holes.

    Parameters
    ----------
    mask : ndarray of bool
        (row, col).

    Returns
    -------
    list of list of ndarray
        Rings (n, 2) of the px corners (x, y) where they turn, not closed; the outer one first, clockwise on screen.
    """
    _, parts = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    borders = _borders(mask)
    polygons: dict[int, list[NDArray[np.int64]]] = {}
    for border in sorted(borders, key=lambda each: (each[0][1], each[0][0], each[1])):
        if border in borders:
            polygons.setdefault(int(parts[_px_on_the_right(*border)]), []).append(_ring(borders, border))
    return [polygons[part] for part in sorted(polygons)]


def filled(rings: Iterable[Ring], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centres lie in an odd number of rings, bool (row, col).

    Parameters
    ----------
    rings : iterable of ndarray
        (n, 2), (x, y) in px from the corner of the mask; closed or not.
    shape : tuple of int
        (row, col) of the mask.
    """
    rows, cols = shape
    crossed = np.zeros((rows, cols + 1), np.uint8)
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            low, high = sorted((y0, y1))
            row = np.arange(max(0, math.ceil(low - 0.5)), min(rows, math.ceil(high - 0.5)))
            x = x0 + (row + 0.5 - y0) * ((x1 - x0) / (y1 - y0 or 1))
            crossed[row, np.ceil(x - 0.5).clip(0, cols).astype(np.int64)] ^= 1
    return np.asarray(np.bitwise_xor.accumulate(crossed[:, :-1], axis=1), np.bool_)


def _borders(mask: NDArray[np.bool_]) -> set[Border]:
    """The sides of pixels between the mask and what is not, the mask on their right."""
    padded = np.pad(mask, 1).astype(np.int8)
    across, down = np.diff(padded, axis=0)[:, 1:-1], np.diff(padded, axis=1)[1:-1]
    return {
        ((col + dx, row + dy), way)
        for sides, dx, dy, way in (
            (across == 1, 0, 0, (1, 0)),
            (across == -1, 1, 0, (-1, 0)),
            (down == 1, 0, 1, (0, -1)),
            (down == -1, 0, 0, (0, 1)),
        )
        for row, col in np.argwhere(sides).tolist()
    }


def _px_on_the_right(corner: Corner, way: Corner) -> tuple[int, int]:
    """(row, col) of the pixel that a border belongs to."""
    right = _RIGHT[way]
    return corner[1] + (way[1] + right[1] - 1) // 2, corner[0] + (way[0] + right[0] - 1) // 2


def _ring(borders: set[Border], border: Border) -> NDArray[np.int64]:
    """Take the borders of one ring out; where two pixels meet at a corner, it stays with the one that it goes round."""
    turns, last = [], (0, 0)
    while border in borders:
        borders.remove(border)
        corner, way = border
        if way != last:
            turns.append(corner)
        end, right, last = (corner[0] + way[0], corner[1] + way[1]), _RIGHT[way], way
        left = (-right[0], -right[1])
        border = next((each for each in ((end, right), (end, way)) if each in borders), (end, left))
    return np.array(turns, np.int64)
