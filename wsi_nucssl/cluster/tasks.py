"""What workers do: functions of a module, as dask sends them. They return places and counts, never pixels."""

from __future__ import annotations

import time
from dataclasses import dataclass
from time import perf_counter

from wsi_nucssl.checksums import Checksums
from wsi_nucssl.cluster.facts import Facts, NetworkSpec
from wsi_nucssl.cluster.work import (
    SEEN_AFTER_S,
    SlideSpec,
    engine_of,
    is_wanted,
    opened_engine,
    reader_of,
    store_of,
)
from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.geometry import Box
from wsi_nucssl.grid import ORIGIN, Tile
from wsi_nucssl.nuclei.seams import Part
from wsi_nucssl.nuclei.settings import Probabilities
from wsi_nucssl.segment import stages
from wsi_nucssl.segment.probabilities import NotPredicted, WindowLost


@dataclass(frozen=True, slots=True)
class Predicted:
    """Windows that are on the disk.

    Attributes
    ----------
    checksums : dict
        By (row, col).
    seconds : float
        What the network took.
    """

    checksums: Checksums
    seconds: float


@dataclass(frozen=True, slots=True)
class Extracted:
    """What became of a block.

    Attributes
    ----------
    nuclei : int or None
        How many its table has; None if there is no table.
    lost : tuple of (int, int)
        Windows that were promised and are not there.
    absent : tuple of (int, int)
        Windows that a nucleus reaches and nobody promised: they are not predicted yet.
    """

    nuclei: int | None
    lost: tuple[tuple[int, int], ...] = ()
    absent: tuple[tuple[int, int], ...] = ()


def here() -> str:
    """Whether a worker and the scheduler have this package at all."""
    return __name__


def examine(network: NetworkSpec) -> Facts:
    """Open the network on this worker, and say what it is."""
    return opened_engine(network)[1]


def infer(network: NetworkSpec, windows: Windows) -> BodyBoundary:
    """Send windows of anybody's through the network of this worker; these do travel."""
    return opened_engine(network)[0].predict(windows)


def predict(spec: SlideSpec, tiles: tuple[Tile, ...]) -> Predicted:
    """Read, predict and keep windows, batch by batch."""
    engine, read_rgb, store = engine_of(spec), reader_of(spec), store_of(spec)
    checksums: Checksums = {}
    seconds = 0.0

    def put(tile: Tile, planes: Probabilities) -> None:
        checksums[tile.row, tile.col] = store.put(tile, planes)

    for first in range(0, len(tiles), spec.batch_size):
        batch = tiles[first : first + spec.batch_size]
        seen = [stages.read(read_rgb, spec.grid, tile) for tile in batch]
        begun = perf_counter()
        predicted = stages.predict(engine, seen, spec.batch_size)
        seconds += perf_counter() - begun
        for window in predicted:
            stages.keep(spec.grid, window, put)
    return Predicted(checksums, seconds)


def extract(
    spec: SlideSpec, block: Tile, near: tuple[Tile, ...], done: Checksums, part: Part | None = None
) -> Extracted:
    """Extract a block from its windows and keep its table.

    Parameters
    ----------
    spec : SlideSpec
        The slide.
    block : Tile
        What to extract.
    near : tuple of Tile
        The selected windows that it may ask for.
    done : dict
        Of those that are there, the checksums: a file system that shows them late is waited for.
    part : Part, optional
        Which of its nuclei are asked for; all by default.
    """
    store, until = store_of(spec), time.monotonic() + SEEN_AFTER_S
    store.learn(near, done)
    path, extent = spec.blocks / stages.block_name(block), Box.at(ORIGIN, spec.grid.extent)
    pause = 0.05
    while True:
        try:
            return Extracted(stages.extract(store.read, block, extent, spec.config, path, part=part))
        except NotPredicted as error:
            return Extracted(None, absent=tuple((tile.row, tile.col) for tile in error.absent))
        except WindowLost:
            if time.monotonic() > until or not is_wanted():
                return Extracted(None, tuple(store.unlearn_lost(done)))
            time.sleep(pause)
            pause = min(2 * pause, 2.0)
