"""Regrowth and hole filling on label images, in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.nuclei.compiled import compiled

_STEPS = ((-1, 0), (0, -1), (0, 1), (1, 0))  # up, left, right, down: also the order that settles ties


@compiled
def regrow(
    labels: NDArray[np.int32], foreground: NDArray[np.uint8], body: NDArray[np.uint8], iterations: int
) -> None:
    """Grow the labels through `foreground` by `iterations` steps to 4-neighbours; consumes `foreground`.

    A pixel that iteration k reaches looks at those of its 4-neighbours that iteration k - 1 reached. Each of them
    descends from one marker pixel, its seed. The pixel joins the neighbour whose seed is nearest
    (Euclidean); of equals, the one whose seed has the higher P(body); of equals, the first among up, left,
    right, down. Hence

    - the seed of a pixel is a function of the bytes and marker pixels at most `iterations` steps away,
      independent of label numbers, of the order of visits and of where the window lies;
    - every pixel has a 4-neighbour of its own label one iteration earlier, so an instance is 4-connected.

    Arrays are C-contiguous and walked by flat index: this loop is most of an extraction's time.
    """
    if labels.size > 2**31 - 1:
        raise ValueError("more pixels than a flat index of 32 bits can count: cut the image into blocks")
    width = labels.shape[1]
    label, is_open, strength = labels.ravel(), foreground.ravel(), body.ravel()
    seed = np.empty(labels.size, np.int32)
    visited = np.empty(labels.size, np.int32)  # one iteration after another, each pixel once
    first, end = 0, _seeds(labels, foreground, seed, visited)
    for _ in range(iterations):
        last = end
        for index in range(first, last):
            for beside in _neighbours(visited[index], width, labels.size):
                if beside >= 0 and is_open[beside]:
                    is_open[beside] = 0
                    visited[end] = beside
                    end += 1
        for index in range(last, end):
            seed[visited[index]] = _nearest_seed(visited[index], label, strength, seed, width)
        for index in range(last, end):
            label[visited[index]] = label[seed[visited[index]]]
        first = last


@compiled
def _neighbours(at: int, width: int, size: int) -> tuple[int, int, int, int]:
    """Flat indices of the pixels up, left, right and down; -1 beyond the edge."""
    col = at % width
    return (
        at - width,  # negative beyond the edge by itself
        at - 1 if col > 0 else -1,
        at + 1 if col < width - 1 else -1,
        at + width if at + width < size else -1,
    )


@compiled
def _seeds(
    labels: NDArray[np.int32],
    foreground: NDArray[np.uint8],
    seed: NDArray[np.int32],
    visited: NDArray[np.int32],
) -> int:
    """List marker pixels beside open foreground in `visited`, each its own seed, and return how many.

    Takes all markers out of `foreground`.
    """
    height, width = labels.shape
    for row in range(height):
        for col in range(width):
            if labels[row, col]:
                foreground[row, col] = 0
    count = 0
    for row in range(height):
        for col in range(width):
            if labels[row, col] and (
                (row > 0 and foreground[row - 1, col])
                or (col > 0 and foreground[row, col - 1])
                or (col < width - 1 and foreground[row, col + 1])
                or (row < height - 1 and foreground[row + 1, col])
            ):
                seed[row * width + col] = visited[count] = row * width + col
                count += 1
    return count


@compiled
def _nearest_seed(
    at: int, label: NDArray[np.int32], strength: NDArray[np.uint8], seed: NDArray[np.int32], width: int
) -> int:
    """The best seed among those of the labelled neighbours of a pixel; all indices are flat."""
    row, col = at // width, at % width
    best, best_distance, best_strength = -1, 1 << 60, -1
    for beside in _neighbours(at, width, len(label)):
        if beside < 0 or label[beside] == 0:
            continue
        candidate = seed[beside]
        down, right = candidate // width - row, candidate % width - col
        distance, body = down * down + right * right, int(strength[candidate])
        if distance < best_distance or (distance == best_distance and body > best_strength):
            best, best_distance, best_strength = candidate, distance, body
    return best


@compiled
def fill_holes(labels: NDArray[np.int32], background: NDArray[np.int32]) -> None:
    """Give each background component that touches one label only, and not the image's edge, to that label.

    Parameters
    ----------
    labels : ndarray of int32
        int32 (row, col), changed in place.
    background : ndarray of int32
        int32 (row, col), the 4-connected components of `labels == 0` numbered from 1.
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
