"""The probabilities of a slide in memory, predicted where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

from wsi_nucssl.engines.base import Engine
from wsi_nucssl.geometry import Box
from wsi_nucssl.grid import Tile
from wsi_nucssl.nuclei.settings import Probabilities
from wsi_nucssl.schema import OutputSchema
from wsi_nucssl.segment.blending import blended
from wsi_nucssl.segment.executor import predicted_in_threads
from wsi_nucssl.segment.plan import Plan
from wsi_nucssl.segment.stages import keep
from wsi_nucssl.segment.windows import ReadRGB

OnWindows = Callable[[int], object]
"""Is told after each batch how many windows have been predicted by now."""


class WindowsOnDemand:
    """What `ProbabilityStore` is on disk, in memory, with windows predicted when somebody reads there.

    Parameters
    ----------
    read_rgb : ReadRGB
        Reads input px of the canvas.
    plan : Plan
        Which windows there are, and which see tissue.
    engine : Engine
        Predicts them.
    batch_size : int
        Windows at a time.
    workers : int
        Threads that read.
    on_windows : callable
        Is told how many were predicted.
    schema : OutputSchema
        What the model answers.
    """

    def __init__(
        self,
        read_rgb: ReadRGB,
        plan: Plan,
        engine: Engine,
        batch_size: int,
        workers: int,
        on_windows: OnWindows,
        schema: OutputSchema,
    ) -> None:
        self._read_rgb, self._plan, self._engine = read_rgb, plan, engine
        self._planes = len(schema.stored)
        self._batch_size, self._workers, self._on_windows = batch_size, workers, on_windows
        self._selected = {(tile.row, tile.col) for tile in (*plan.selected, *plan.reserve)}
        self._kept: dict[tuple[int, int], Probabilities] = {}
        self._count = 0

    def read(self, box: Box) -> Probabilities:
        """The planes of `box`, inside the extent; background where no window is selected."""
        grid = self._plan.windows
        asked = [tile for tile in grid.overlapping(box.grow(grid.blend)) if self._is_missing(tile)]
        self._predict(asked)
        return blended(grid, box, lambda tile: self._kept.get((tile.row, tile.col)), self._planes)

    def forget_above(self, y: int) -> None:
        """Drop the windows that lie above `y`, in output px: blocks come in raster order."""
        grid = self._plan.windows
        for row, col in [place for place in self._kept if grid.at(*place).core.y1 + grid.blend < y]:
            del self._kept[row, col]

    def _is_missing(self, tile: Tile) -> bool:
        place = tile.row, tile.col
        return place in self._selected and place not in self._kept

    def _predict(self, tiles: Sequence[Tile]) -> None:
        batches = predicted_in_threads(
            self._read_rgb,
            self._plan.windows,
            self._engine,
            tiles,
            batch_size=self._batch_size,
            workers=self._workers,
        )
        with closing(batches):
            for batch in batches:
                for window in batch.windows:
                    keep(self._plan.windows, window, self._write)
                self._on_windows(self._count)

    def _write(self, tile: Tile, planes: Probabilities) -> None:
        self._kept[tile.row, tile.col] = planes
        self._count += 1
