"""The stages of a slide as functions of what they are given: windows to probabilities, blocks to nuclei.

A stage knows no thread, process or machine, and keeps nothing: `executor` calls them from threads of one process, and
whoever calls them elsewhere gets the same bytes. Predicting a window is three of them, `read`, `predict` and `keep`,
because they wait for different things: the disk, the network's device, the disk again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.engines.base import Engine, predict_batch
from wsi_nucssl.geometry import Box
from wsi_nucssl.grid import Tile
from wsi_nucssl.nuclei.seams import Part, extract_block
from wsi_nucssl.nuclei.settings import InstanceConfig, Probabilities
from wsi_nucssl.segment.blending import keep_window
from wsi_nucssl.segment.plan import HALO, MAX_HALO
from wsi_nucssl.segment.windows import ReadRGB, WindowGrid, read_window

WriteWindow = Callable[[Tile, Probabilities], object]
"""Takes what is kept of a window, (P + 1, row, col): `ProbabilityStore.write`, say."""


@dataclass(frozen=True, slots=True)
class SeenWindow:
    """A window as the network sees it.

    Attributes
    ----------
    tile : Tile
        Its place.
    pixels : uint8 (row, col, 3)
        RGB in input px.
    """

    tile: Tile
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PredictedWindow:
    """A window that went through the network.

    Attributes
    ----------
    seen : SeenWindow
        What the network saw.
    planes : uint8 (P, row, col)
        What it answered, in output px.
    """

    seen: SeenWindow
    planes: NDArray[np.uint8]


def read(read_rgb: ReadRGB, grid: WindowGrid, tile: Tile) -> SeenWindow:
    """Read one window."""
    return SeenWindow(tile, read_window(read_rgb, tile, grid))


def predict(engine: Engine, windows: Sequence[SeenWindow], batch_size: int) -> list[PredictedWindow]:
    """Send up to `batch_size` windows through the network, as one batch."""
    planes = predict_batch(engine, [window.pixels for window in windows], batch_size)
    return [PredictedWindow(window, each) for window, each in zip(windows, planes, strict=True)]


def keep(grid: WindowGrid, window: PredictedWindow, write: WriteWindow) -> None:
    """Write what is kept of a window."""
    tile, pixels = window.seen.tile, window.seen.pixels
    write(tile, keep_window(grid, tile, pixels, window.planes))


def predict_windows(
    read_rgb: ReadRGB,
    grid: WindowGrid,
    engine: Engine,
    tiles: Iterable[Tile],
    write: WriteWindow,
    *,
    batch_size: int = 1,
) -> None:
    """The whole way of some windows, one batch after another.

    Parameters
    ----------
    read_rgb : ReadRGB
        Reads input px of the canvas or image.
    grid : WindowGrid
        All windows.
    engine : Engine
        Predicts them.
    tiles : iterable of Tile
        Those to predict.
    write : WriteWindow
        Takes what is kept of each.
    batch_size : int
        Windows at a time.
    """
    windows = (read(read_rgb, grid, tile) for tile in tiles)
    while batch := list(islice(windows, batch_size)):
        for window in predict(engine, batch, batch_size):
            keep(grid, window, write)


def block_name(block: Tile) -> str:
    """What the table of a block is called in its folder."""
    return f"{block.row:05d}-{block.col:05d}.npz"


def extract(
    read_probabilities: Callable[[Box], Probabilities],
    block: Tile,
    extent: Box,
    config: InstanceConfig,
    path: Path,
    *,
    part: Part | None = None,
    halo: int = HALO,
    max_halo: int = MAX_HALO,
) -> int:
    """Extract the nuclei of one block and keep their table at `path`, whole or not at all. Returns how many they are.

    Where `part` says that not all of them are asked for, the block's core is what is looked at.

    Raises
    ------
    NotPredicted
        A nucleus reaches where nothing is predicted yet.
    ResourceError
        The disk is full.
    """
    nuclei = extract_block(
        read_probabilities, block.core, extent, config, halo=halo, max_halo=max_halo, part=part
    )
    nuclei.save(path, (block.row, block.col))
    return len(nuclei)
