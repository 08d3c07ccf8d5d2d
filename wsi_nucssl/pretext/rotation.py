"""RotNet: which way up is the image? (Gidaris et al., 2018, https://arxiv.org/abs/1803.07728)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsi_nucssl.pretext.classification import accuracy, chance_warning
from wsi_nucssl.pretext.settings import TaskSettings
from wsi_nucssl.pretext.task import Choices, Metrics, Outputs, Views, random_square, unturned
from wsi_nucssl.pretext.views import cut


class PooledLinear(nn.Module):
    """Spatial mean of the coarsest feature map, then one linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)

    def forward(self, features: Sequence[Tensor]) -> Outputs:
        """Five feature maps → "logits" (M, classes)."""
        return {"logits": self.linear(features[-1].mean(dim=(2, 3)))}


@dataclass(frozen=True, slots=True)
class Rotation:
    """Each view is shown in all four rotations; four-way classification."""

    settings: TaskSettings

    def choose(self, tile_px: int, rng: np.random.Generator) -> Choices:
        """One square as large as a triplet's anchor."""
        return {"boxes": random_square(tile_px, self.settings.geometry.anchor_in(tile_px), rng)}

    def views(self, tiles: Tensor, choices: Mapping[str, Tensor]) -> Views:
        """Images (4 · N, 3, S, S), turned by 0°, 90°, 180°, 270°; targets "turns" (4 · N,)."""
        boxes = choices["boxes"]
        largest = self.settings.geometry.anchor_in(tiles.shape[-1])
        upright = cut(tiles, boxes, unturned(boxes), self.settings.view_px, largest)
        images = torch.cat([upright.rot90(turns, (2, 3)) for turns in range(4)])
        return Views(images, {"turns": torch.arange(4, device=tiles.device).repeat_interleave(len(tiles))})

    def head(self, channels: Sequence[int]) -> nn.Module:
        """Four logits."""
        return PooledLinear(channels[-1], 4)

    def loss(self, outputs: Outputs, targets: Mapping[str, Tensor], /) -> tuple[Tensor, Metrics]:
        """Cross-entropy."""
        logits = outputs["logits"].float()
        return F.cross_entropy(logits, targets["turns"]), {"accuracy": accuracy(logits, targets["turns"])}

    def warning(self, means: Mapping[str, float]) -> str | None:
        """Accuracy at chance."""
        return chance_warning(means["accuracy"], 4)
