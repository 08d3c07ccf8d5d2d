"""Regrowth and hole filling on label images, in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.nuclei.compiled import compiled

_STEPS = ((-1, 0), (0, -1), (0, 1), (1, 0))  # up, left, right, down: also the order that settles ties


@compiled
def regrow(
    labels: NDArray[np.int32], foreground: NDArray[np.uint8], body: NDArray[np.uint8], waves: int
) -> None:
    """Grow the labels through `foreground` by `waves` steps to 4-neighbours; consumes `foreground`.

    A pixel that wave k reaches looks at those of its 4-neighbours that wave k - 1 reached. Each of them
    descends from one marker pixel, its root. The pixel joins the neighbour whose root is nearest
    (Euclidean); of equals, the one whose root has the higher P(body); of equals, the first among up, left,
    right, down. Hence

    - the root of a pixel is a function of the bytes and marker pixels at most `waves` steps away,
      independent of label numbers, of the order of visits and of where the window lies;
    - every pixel has a 4-neighbour of its own label one wave earlier, so an instance is 4-connected.
    """
    height, width = labels.shape
    root_row = np.empty(labels.shape, np.int32)
    root_col = np.empty(labels.shape, np.int32)
    frontier = _seeds(labels, foreground, root_row, root_col)
    fresh = np.empty((height * width, 4), np.int32)
    for _ in range(waves):
        count = 0
        for index in range(len(frontier)):
            for step in _STEPS:
                row, col = frontier[index, 0] + step[0], frontier[index, 1] + step[1]
                if 0 <= row < height and 0 <= col < width and foreground[row, col]:
                    foreground[row, col] = 0
                    fresh[count, 0], fresh[count, 1] = row, col
                    fresh[count, 2], fresh[count, 3] = _nearest_root(
                        labels, body, root_row, root_col, row, col
                    )
                    count += 1
        for index in range(count):
            row, col = fresh[index, 0], fresh[index, 1]
            root_row[row, col], root_col[row, col] = fresh[index, 2], fresh[index, 3]
            labels[row, col] = labels[fresh[index, 2], fresh[index, 3]]
        frontier = fresh[:count, :2].copy()


@compiled
def _seeds(
    labels: NDArray[np.int32],
    foreground: NDArray[np.uint8],
    root_row: NDArray[np.int32],
    root_col: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Marker pixels beside open foreground, each its own root; takes the markers out of `foreground`."""
    height, width = labels.shape
    for row in range(height):
        for col in range(width):
            if labels[row, col]:
                foreground[row, col] = 0
    seeds = np.empty((height * width, 2), np.int32)
    count = 0
    for row in range(height):
        for col in range(width):
            if labels[row, col] and (
                (row > 0 and foreground[row - 1, col])
                or (col > 0 and foreground[row, col - 1])
                or (col < width - 1 and foreground[row, col + 1])
                or (row < height - 1 and foreground[row + 1, col])
            ):
                root_row[row, col], root_col[row, col] = row, col
                seeds[count, 0], seeds[count, 1] = row, col
                count += 1
    return seeds[:count].copy()


@compiled
def _nearest_root(
    labels: NDArray[np.int32],
    body: NDArray[np.uint8],
    root_row: NDArray[np.int32],
    root_col: NDArray[np.int32],
    row: int,
    col: int,
) -> tuple[int, int]:
    best_row, best_col, best_distance, best_body = -1, -1, 1 << 30, -1
    for step in _STEPS:
        beside_row, beside_col = row + step[0], col + step[1]
        if not (0 <= beside_row < labels.shape[0] and 0 <= beside_col < labels.shape[1]):
            continue
        if labels[beside_row, beside_col] == 0:
            continue
        from_row, from_col = int(root_row[beside_row, beside_col]), int(root_col[beside_row, beside_col])
        distance = (row - from_row) ** 2 + (col - from_col) ** 2
        strength = int(body[from_row, from_col])
        if distance < best_distance or (distance == best_distance and strength > best_body):
            best_row, best_col, best_distance, best_body = from_row, from_col, distance, strength
    return best_row, best_col


@compiled
def fill_holes(labels: NDArray[np.int32], background: NDArray[np.int32]) -> None:
    """Give each background component that touches one label only, and not the image's edge, to that label.

    Parameters
    ----------
    labels : int32 (row, col), changed in place.
    background : int32 (row, col), the 4-connected components of `labels == 0` numbered from 1.
    """
    owner = np.zeros(background.max() + 1, np.int32)
    height, width = labels.shape
    for row in range(height):
        for col in range(width):
            component = background[row, col]
            if component == 0 or owner[component] < 0:
                continue
            if row == 0 or col == 0 or row == height - 1 or col == width - 1:
                owner[component] = -1
                continue
            for step in _STEPS:
                label = labels[row + step[0], col + step[1]]
                if label and owner[component] == 0:
                    owner[component] = label
                elif label and owner[component] != label:
                    owner[component] = -1
    for row in range(height):
        for col in range(width):
            component = background[row, col]
            if component and owner[component] > 0:
                labels[row, col] = owner[component]
