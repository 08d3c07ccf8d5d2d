"""A package from outside in one file: a pretext task and an encoder family, both as small as can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsi_nucssl.errors import WeightsError
from wsi_nucssl.models.encoders.base import Encoder, EncoderFamily
from wsi_nucssl.pretext.settings import TaskSettings
from wsi_nucssl.pretext.task import Choices, Metrics, Outputs, Views, random_square, unturned
from wsi_nucssl.pretext.views import cut

ENTRY_POINTS: Final = """
[wsi_nucssl.tasks]
brightness = tests.train.toy_ssl:Brightness

[wsi_nucssl.encoders]
five-convolutions = tests.train.toy_ssl:TOYS
"""


class Mean(nn.Module):
    """The coarsest map's mean, linearly."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, 1)

    def forward(self, features: Sequence[Tensor]) -> Outputs:
        return {"brightness": self.linear(features[-1].mean(dim=(2, 3)))[:, 0]}


@dataclass(frozen=True, slots=True)
class Brightness:
    """How bright is the view?"""

    settings: TaskSettings

    def choose(self, tile_px: int, rng: np.random.Generator) -> Choices:
        return {"boxes": random_square(tile_px, tile_px // 2, rng)}

    def views(self, tiles: Tensor, choices: Mapping[str, Tensor]) -> Views:
        boxes = choices["boxes"]
        images = cut(tiles, boxes, unturned(boxes), self.settings.view_px, tiles.shape[-1] // 2)
        return Views(images, {"brightness": images.mean(dim=(1, 2, 3)) / 255})

    def head(self, channels: Sequence[int]) -> nn.Module:
        return Mean(channels[-1])

    def loss(self, outputs: Outputs, targets: Mapping[str, Tensor], /) -> tuple[Tensor, Metrics]:
        loss = F.mse_loss(outputs["brightness"].float(), targets["brightness"])
        return loss, {"loss_brightness": loss.detach()}

    def warning(self, means: Mapping[str, float]) -> str | None:
        return "it is all dark" if means["loss_brightness"] > 1 else None


class FiveConvolutions(Encoder):
    """Each halves the resolution."""

    channels = (4, 8, 8, 16, 16)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        widths = (3, *self.channels)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(widths)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        features = []
        for convolution in self.convolutions:
            image = torch.relu(convolution(image))
            features.append(image)
        return features


def no_weights(name: str) -> dict[str, Tensor]:
    raise WeightsError(f"nobody trained {name} on ImageNet")


TOYS: Final = EncoderFamily(build=FiveConvolutions, imagenet=no_weights)
