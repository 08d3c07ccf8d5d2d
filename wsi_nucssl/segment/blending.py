"""Windows into one picture: where neighbours overlap, they are blended by fixed integer weights.

A window is kept with `blend` px beyond its core on each side. Along an axis its weight is 4 · blend in the middle of
the core; from `blend` px before a seam to `blend` px behind it, it falls by 2 with each px, from 4 · blend − 1 to 1,
while the neighbour's rises by as much. So the weights of two neighbours add up to 4 · blend at every px: a partition of
unity in integers. In the plane the two axes' weights are multiplied.

**Definition.** The value of an output px p is

- 0, if the window whose core holds p is not selected;
- otherwise ⌊Σ wᵢ(p) vᵢ(p) / Σ wᵢ(p) + 1/2⌋, over the selected windows whose weight at p is not 0, where vᵢ(p) is the
  byte that window i predicts there. A window that is not selected has no say, and its weight goes to those that are.
  With `blend` 0 there is one such window, the owner.

It is a function of p, of which windows are selected, and of the bytes of at most four windows, all of them fixed by the
plan and the network; nothing in it knows the box that is read, the block or the worker. Where one window alone has a
say, its bytes come out unchanged. docs/seams.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.geometry import Box
from wsi_nucssl.grid import ORIGIN, Tile
from wsi_nucssl.nuclei.compiled import compiled
from wsi_nucssl.nuclei.settings import Probabilities
from wsi_nucssl.nuclei.stain import hematoxylin_od
from wsi_nucssl.schema import UNTYPED
from wsi_nucssl.segment.windows import WindowGrid, repeat_px

KeptWindow = Callable[[Tile], Probabilities | None]
"""Gives the planes of a window's kept box, (P + 1, row, col); None for a window that is not selected."""


def keep_window(
    grid: WindowGrid, tile: Tile, pixels: NDArray[np.uint8], predicted: NDArray[np.uint8]
) -> Probabilities:
    """The planes of a window's kept box, uint8 (P + 1, row, col): the P predicted ones, and last hematoxylin.

    They are 0 beyond the extent; the hematoxylin plane, which is the same in every window, is 0 beyond the core too.

    Parameters
    ----------
    pixels : ndarray of uint8
        What the network saw, RGB (row, col, 3) in input px.
    predicted : ndarray of uint8
        What it answered, uint8 (P, row, col) in output px.
    """
    kept = grid.kept(tile)
    planes = np.zeros((len(predicted) + 1, *kept.size.shape_rc), np.uint8)
    inside = kept.clip(Box.at(ORIGIN, grid.extent))
    _part(grid, tile, planes, inside)[:-1] = predicted[:, *inside.relative_to(tile.read.origin).rc]
    stain = repeat_px(hematoxylin_od(np.ascontiguousarray(pixels)), grid.upscale)
    _part(grid, tile, planes, tile.core)[-1] = stain[tile.core.relative_to(tile.read.origin).rc]
    return planes


def blended(
    grid: WindowGrid, box: Box, window: KeptWindow, count: int = len(UNTYPED.stored)
) -> Probabilities:
    """The `count` planes of `box`, uint8 (P + 1, row, col), as the module defines them.

    Only windows that it needs are asked.
    """
    planes = np.zeros((count, *box.size.shape_rc), np.uint8)
    for tile in grid.overlapping(box):
        own = window(tile)
        if own is None:
            continue
        part = tile.core.clip(box)
        planes[:, *part.relative_to(box.origin).rc] = _part(grid, tile, own, part)
        for band in _bands(grid, tile):
            px = band.box.clip(box)
            if px.is_empty:
                continue
            there = [(tile, own), *_there(band, window)]
            if len(there) > 1:
                planes[:-1, *px.relative_to(box.origin).rc] = _mean(grid, there, px)
    return planes


@dataclass(frozen=True, slots=True)
class _Band:
    """A part of a core that neighbours keep too."""

    box: Box
    neighbours: tuple[Tile, ...]


def _bands(grid: WindowGrid, tile: Tile) -> Iterator[_Band]:
    """The at most eight bands along the seams of a core: its sides, and its corners."""
    core, extent = tile.core, grid.extent
    for down, y0, y1 in _spans(core.y0, core.y1, extent.height, grid.blend):
        for right, x0, x1 in _spans(core.x0, core.x1, extent.width, grid.blend):
            steps = {(0, right), (down, 0), (down, right)} - {(0, 0)}
            if steps:
                around = (grid.at(tile.row + dy, tile.col + dx) for dy, dx in sorted(steps))
                yield _Band(Box(x0, y0, x1, y1), tuple(around))


def _spans(start: int, stop: int, extent: int, blend: int) -> Iterator[tuple[int, int, int]]:
    """A core's side as (where the neighbour lies: −1, 0 or 1; first, last + 1): its ends at seams, and the middle."""
    first = min(start + blend, stop) if start > 0 else start
    last = max(stop - blend, first) if stop < extent else stop
    yield from (span for span in ((-1, start, first), (0, first, last), (1, last, stop)) if span[1] < span[2])


def _there(band: _Band, window: KeptWindow) -> Iterator[tuple[Tile, Probabilities]]:
    for tile in band.neighbours:
        planes = window(tile)
        if planes is not None:
            yield tile, planes


def _mean(grid: WindowGrid, there: list[tuple[Tile, Probabilities]], px: Box) -> NDArray[np.uint8]:
    """The weighted mean of the predicted planes of `px`, (P, row, col), rounded to nearest, halves up."""
    total = np.zeros((len(there[0][1]) - 1, *px.size.shape_rc), np.int32)
    weights = np.zeros(px.size.shape_rc, np.int32)
    for tile, planes in there:
        core, extent = tile.core, grid.extent
        down = _weights(px.y0, px.y1, core.y0, core.y1, extent.height, grid.blend)
        right = _weights(px.x0, px.x1, core.x0, core.x1, extent.width, grid.blend)
        _add(total, weights, _part(grid, tile, planes, px), down, right)
    return _rounded(total, weights)


@compiled
def _add(
    total: NDArray[np.int32],
    weights: NDArray[np.int32],
    planes: Probabilities,
    down: NDArray[np.int32],
    right: NDArray[np.int32],
) -> None:
    """Add a window, weighted by `down` × `right`, to `total` (P, row, col), and its weights to `weights` (row, col)."""
    for row in range(len(down)):
        for col in range(len(right)):
            weights[row, col] += down[row] * right[col]
        for plane in range(len(total)):
            for col in range(len(right)):
                total[plane, row, col] += down[row] * right[col] * planes[plane, row, col]


@compiled
def _rounded(total: NDArray[np.int32], weights: NDArray[np.int32]) -> NDArray[np.uint8]:
    mean = np.empty(total.shape, np.uint8)
    for plane in range(total.shape[0]):
        for row in range(total.shape[1]):
            for col in range(total.shape[2]):
                mean[plane, row, col] = (2 * total[plane, row, col] + weights[row, col]) // (
                    2 * weights[row, col]
                )
    return mean


def _weights(first: int, last: int, start: int, stop: int, extent: int, blend: int) -> NDArray[np.int32]:
    """The weight, 0 … 4 · blend, of the window of core [start, stop) at each px of [first, last) along an axis."""
    place = np.arange(first, last, dtype=np.int32)
    weight = np.full(len(place), 4 * blend, np.int32)
    if start > 0:
        weight = np.minimum(weight, 2 * (place - start + blend) + 1)
    if stop < extent:
        weight = np.minimum(weight, 2 * (stop + blend - place) - 1)
    return np.maximum(weight, 0)


def _part(grid: WindowGrid, tile: Tile, planes: Probabilities, px: Box) -> Probabilities:
    return planes[:, *px.relative_to(grid.kept(tile).origin).rc]
