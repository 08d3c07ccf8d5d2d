"""The windows that the network sees: a grid of cores on the canvas, each read with a margin that is then discarded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.models.resunet import MULTIPLE
from wsi_nucssl.segment.engine import BodyBoundary, Engine
from wsi_nucssl.tiles.grid import Tile, TileGrid

MARGIN: Final = 64
"""px of context on each side of a core; docs/seams.md has the measurement that chose it."""
CORE: Final = 1024
"""Side of a core, in px."""

ReadRGB = Callable[[Box], NDArray[np.uint8]]
"""Reads a box inside the canvas as RGB (row, col, 3)."""


def window_grid(extent: Size, margin: int = MARGIN, core: int = CORE) -> TileGrid:
    """The grid of windows of a canvas: cores of `core` px, or less where the canvas is smaller than that.

    Slides thus share one window shape, which engines compile once. With its margins, a window's sides are multiples of
    what the network wants.
    """
    width, height = (_fitting(side, core, margin) for side in (extent.width, extent.height))
    return TileGrid(extent, Size(width, height), margin)


def _fitting(side: int, core: int, margin: int) -> int:
    whole = min(side, core) + 2 * margin
    return -(-whole // MULTIPLE) * MULTIPLE - 2 * margin


def read_window(read: ReadRGB, tile: Tile, extent: Size, shape: Size) -> NDArray[np.uint8]:
    """RGB of a window, `shape` px whatever the tile's place: beyond the canvas it is mirrored.

    Every window of a grid has the shape of an inner tile with its margins, so that engines see one shape only.
    """
    whole = Box(0, 0, extent.width, extent.height)
    wanted = Box.at(tile.read.origin, shape)
    inside = wanted.clip(whole)
    pixels = read(inside)
    pad = (
        (inside.y0 - wanted.y0, wanted.y1 - inside.y1),
        (inside.x0 - wanted.x0, wanted.x1 - inside.x1),
        (0, 0),
    )
    return np.pad(pixels, pad, mode="symmetric") if any(map(any, pad)) else pixels


def window_shape(grid: TileGrid) -> Size:
    """Width and height of every window of the grid, margins included."""
    return Size(grid.tile.width + 2 * grid.margin, grid.tile.height + 2 * grid.margin)


def predict_batch(engine: Engine, windows: Sequence[NDArray[np.uint8]], batch_size: int) -> BodyBoundary:
    """Predict up to `batch_size` windows; a short batch is filled up, so that the engine sees one shape only."""
    count = len(windows)
    batch = np.stack([*windows, *[windows[-1]] * (batch_size - count)])
    return engine.predict(batch)[:count]


def core_of(tile: Tile, window: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The core's part of a window's prediction (channel, row, col)."""
    rows, cols = tile.core.relative_to(tile.read.origin).rc
    return window[:, rows, cols]


def predict_windows(
    engine: Engine, image: NDArray[np.uint8], grid: TileGrid | None = None
) -> NDArray[np.uint8]:
    """P(body) and P(boundary) in 255ths, (2, row, col), of an RGB image (row, col, 3) in memory, window by window.

    `grid` places the windows; by default as on a slide of this size.
    """
    rows, cols = image.shape[:2]
    extent = Size(cols, rows)
    grid = grid or window_grid(extent)
    planes = np.empty((2, rows, cols), np.uint8)
    for tile in grid:
        window = read_window(lambda box: image[box.rc], tile, extent, window_shape(grid))
        planes[:, *tile.core.rc] = core_of(tile, predict_batch(engine, [window], 1)[0])
    return planes
