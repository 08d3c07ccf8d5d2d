"""Batches for pretraining: the k-th is a function of the seed and k alone, whatever the number of workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn

from wsi_nucssl.pretext.redundancy import logged
from wsi_nucssl.pretext.task import Metrics, PretextTask, Views

if TYPE_CHECKING:
    from wsi_nucssl.pretext.sources import TileSource

TILES: Final = "tiles"
_CHOICES: Final = 3
"""Keeps the generator of a tile's choices apart from the source's."""


@dataclass(frozen=True, slots=True)
class PretextBatches:
    """A pretext task on a tile source: batches on the CPU, views and loss on the device.

    Attributes
    ----------
    decorrelation : float
        Weight of the mean redundancy of the encoder's feature maps, which is logged in any case.
    """

    source: TileSource
    task: PretextTask
    batch_size: int
    seed: int
    decorrelation: float = 0.0

    def batch(self, index: int) -> dict[str, Tensor]:
        """ "tiles", uint8 (N, 3, T, T), and the task's choices for each.

        A tile smaller than T lies in the top left corner; no view leaves it.
        """
        numbers = range(index * self.batch_size, (index + 1) * self.batch_size)
        tiles = np.zeros((self.batch_size, self.source.tile_px, self.source.tile_px, 3), np.uint8)
        chosen = []
        for place, number in enumerate(numbers):
            tile = self.source.tile(number)
            side = len(tile)
            tiles[place, :side, :side] = tile
            chosen.append(self.task.choose(side, np.random.default_rng((self.seed, _CHOICES, number))))
        stacked = {name: torch.from_numpy(np.stack([each[name] for each in chosen])) for name in chosen[0]}
        return {TILES: torch.from_numpy(tiles).permute(0, 3, 1, 2), **stacked}

    def views(self, batch: Mapping[str, Tensor]) -> Views:
        """The batch's views, cut where the batch lies, in float32."""
        tiles = batch[TILES]
        choices = {name: value for name, value in batch.items() if name != TILES}
        with torch.no_grad(), torch.autocast(tiles.device.type, enabled=False):
            return self.task.views(tiles, choices)

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Metrics]:
        """The task's loss on a batch, and that of redundant features; and what to log."""
        views = self.views(batch)
        outputs = model(views.images)
        loss, metrics = self.task.loss(outputs, views.targets)
        redundancy = outputs["redundancy"]
        if self.decorrelation:
            loss = loss + self.decorrelation * redundancy.mean()
        return loss, {**metrics, **logged(redundancy)}
