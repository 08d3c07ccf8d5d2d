"""What a pretext task is: views of unlabelled tiles, a head on the encoder, and a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Choices = dict[str, NDArray[Any]]
"""Every random choice for one tile, by name; stacked over the batch, the tensors that `views` takes."""
Outputs = Mapping[str, Tensor]
Metrics = dict[str, Tensor]
"""Scalars to log; detached from the graph."""


@dataclass(frozen=True, slots=True)
class Views:
    """What the network sees, and what it should say.

    Attributes
    ----------
    images : Tensor
        float32 (M, 3, S, S), RGB in 0 … 255; M is a multiple of the number of tiles, all first views first.
    targets : mapping of str to Tensor
        For the loss, by name.
    """

    images: Tensor
    targets: Mapping[str, Tensor] = field(default_factory=dict)


class PretextTask(Protocol):
    """A way to learn an encoder from tiles without a label. Holds no state and no weights."""

    def choose(self, tile_px: int, rng: np.random.Generator) -> Choices:
        """Draw every random choice for a tile of side `tile_px`; called by the loader, on the CPU.

        Keys and shapes do not depend on the draw. "boxes", (V, 4), is where the V views lie in the tile.
        """
        ...

    def views(self, tiles: Tensor, choices: Mapping[str, Tensor]) -> Views:
        """Cut the views on the device: tiles uint8 (N, 3, T, T), entries of the choices (N, …)."""
        ...

    def head(self, channels: Sequence[int]) -> nn.Module:
        """A head on an encoder with these feature channels: list of five feature maps → `Outputs`."""
        ...

    def loss(self, outputs: Outputs, targets: Mapping[str, Tensor], /) -> tuple[Tensor, Metrics]:
        """The scalar to minimise, and what to log beside it."""
        ...

    def warning(self, means: Mapping[str, float]) -> str | None:
        """What is wrong with a run, after its warm-up, whose logged scalars have these means; and what to try."""
        ...


def random_square(tile_px: int, side_px: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """A square of side `side_px` anywhere in the tile, (1, 4): x0, y0, x1, y1."""
    x0, y0 = rng.integers(0, tile_px - side_px + 1, 2)
    return np.array([[x0, y0, x0 + side_px, y0 + side_px]], np.int32)


def unturned(boxes: Tensor) -> Tensor:
    """No turn and no mirror for any of the boxes (N, V, 4): (N, V)."""
    return torch.zeros(boxes.shape[:2], dtype=torch.long, device=boxes.device)
