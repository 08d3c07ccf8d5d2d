"""Jigsaw puzzles: in which order do nine pieces of the image lie? (Noroozi and Favaro, 2016, https://arxiv.org/abs/1603.09246)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from wsi_nucssl.pretext.classification import accuracy, chance_warning
from wsi_nucssl.pretext.model import normalised_each
from wsi_nucssl.pretext.settings import TaskSettings
from wsi_nucssl.pretext.task import Choices, Metrics, Outputs, Views, random_square, unturned
from wsi_nucssl.pretext.views import cut

PIECES: Final = 9
ORDERS: Final = 100
_GAP: Final = 1 / 8
"""Of a cell's side, what its piece leaves: it is cut at random inside, so that edges do not line up."""


@cache
def orders(count: int = ORDERS) -> NDArray[np.int64]:
    """`count` permutations of nine, (count, 9), far apart in Hamming distance.

    Greedy: begin with the identity; each next one is the permutation whose smallest distance to those chosen is
    largest, the first such in lexicographic order.
    """
    everything = np.array(list(permutations(range(PIECES))), np.int64)
    chosen = [0]
    nearest = np.full(len(everything), PIECES + 1)
    while len(chosen) < count:
        nearest = np.minimum(nearest, (everything != everything[chosen[-1]]).sum(axis=1))
        chosen.append(int(nearest.argmax()))
    return everything[chosen]


class JigsawHead(nn.Module):
    """Each piece to a vector by the same layer, all nine joined, then two layers."""

    def __init__(self, channels: int, width: int = 128, hidden: int = 512) -> None:
        super().__init__()
        self.piece = nn.Linear(channels, width)
        self.join = nn.Sequential(
            nn.Linear(PIECES * width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, ORDERS)
        )

    def forward(self, features: Sequence[Tensor]) -> Outputs:
        """Five feature maps of 9 · N pieces, all first pieces first → "logits" (N, 100)."""
        pieces = torch.relu(self.piece(features[-1].mean(dim=(2, 3))))
        return {"logits": self.join(torch.cat(pieces.chunk(PIECES), dim=1))}


@dataclass(frozen=True, slots=True)
class Jigsaw:
    """Nine pieces of a square in one of 100 orders, each normalised by its own mean and deviation; which order?"""

    settings: TaskSettings

    @property
    def piece_px(self) -> int:
        """Side of a piece as the network sees it, a multiple of 32."""
        return max(32, int(self.settings.view_px / 3 * (1 - _GAP)) // 32 * 32)

    def choose(self, tile_px: int, rng: np.random.Generator) -> Choices:
        """An order, and a box for each piece in that order."""
        x0, y0, _, _ = random_square(tile_px, self.settings.geometry.anchor_in(tile_px), rng)[0]
        cell, side = self._sides(tile_px)
        order = int(rng.integers(ORDERS))
        rows, cols = np.divmod(orders()[order], 3)
        corners = np.stack([x0 + cols * cell, y0 + rows * cell], axis=1) + rng.integers(
            0, cell - side + 1, (PIECES, 2)
        )
        return {
            "boxes": np.concatenate([corners, corners + side], axis=1).astype(np.int32),
            "order": np.asarray(order),
        }

    def _sides(self, tile_px: int) -> tuple[int, int]:
        """Sides of a cell and of the piece in it, in px of the tile."""
        cell = self.settings.geometry.anchor_in(tile_px) // 3
        return cell, round(cell * (1 - _GAP))

    def views(self, tiles: Tensor, choices: Mapping[str, Tensor]) -> Views:
        """Images (9 · N, 3, P, P); targets "order" (N,)."""
        boxes = choices["boxes"]
        images = cut(tiles, boxes, unturned(boxes), self.piece_px, self._sides(tiles.shape[-1])[1])
        return Views(normalised_each(images), {"order": choices["order"]})

    def head(self, channels: Sequence[int]) -> nn.Module:
        """One logit for each order."""
        return JigsawHead(channels[-1])

    def loss(self, outputs: Outputs, targets: Mapping[str, Tensor], /) -> tuple[Tensor, Metrics]:
        """Cross-entropy."""
        logits = outputs["logits"].float()
        return F.cross_entropy(logits, targets["order"]), {"accuracy": accuracy(logits, targets["order"])}

    def warning(self, means: Mapping[str, float]) -> str | None:
        """Accuracy at chance."""
        return chance_warning(means["accuracy"], ORDERS)
