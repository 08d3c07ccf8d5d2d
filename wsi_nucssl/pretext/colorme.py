"""ColorMe: which colours belong to the green channel? (Li et al., 2020)

Li, Chen and Zheng: A multi-task self-supervised learning framework for scopy images. IEEE ISBI 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsi_nucssl.models.resunet import Up
from wsi_nucssl.pretext.settings import TaskSettings
from wsi_nucssl.pretext.task import Choices, Metrics, Outputs, Views, random_square, unturned
from wsi_nucssl.pretext.views import cut

BINS: Final = 32
"""Bins of each channel's histogram."""
_WIDTHS: Final = (128, 96, 64, 48)


class ColorMeHead(nn.Module):
    """A small U-Net decoder that paints red and blue, and a linear layer that guesses their histograms."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        *skips, width = channels
        self.histogram = nn.Linear(width, 2 * BINS)
        ups = []
        for skip, narrower in zip(reversed(skips), _WIDTHS, strict=True):
            ups.append(Up(width, skip, narrower))
            width = narrower
        self.ups = nn.ModuleList(ups)
        self.paint = nn.Sequential(nn.Conv2d(width, 8, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, features: Sequence[Tensor]) -> Outputs:
        """Five feature maps → "colours" (M, 2, S, S) in 0 … 1 and "histograms", logits (M, 2, 32)."""
        histograms = self.histogram(features[-1].mean(dim=(2, 3))).view(-1, 2, BINS)
        x = features[-1]
        for up, skip in zip(self.ups, reversed(features[:-1]), strict=True):
            x = up(x, skip)
        return {"colours": self.paint(x), "histograms": histograms}


@dataclass(frozen=True, slots=True)
class ColorMe:
    """Green in; red and blue out by mean squared error, and their histograms by Kullback–Leibler divergence.

    Green is shown in all three channels, so that the encoder's first layer transfers.
    """

    settings: TaskSettings

    def choose(self, tile_px: int, rng: np.random.Generator) -> Choices:
        """One square as large as a triplet's anchor."""
        return {"boxes": random_square(tile_px, self.settings.geometry.anchor_in(tile_px), rng)}

    def views(self, tiles: Tensor, choices: Mapping[str, Tensor]) -> Views:
        """Images (N, 3, S, S), every channel green; targets "colours" (N, 2, S, S), "histograms" (N, 2, 32)."""
        boxes = choices["boxes"]
        largest = self.settings.geometry.anchor_in(tiles.shape[-1])
        images = cut(tiles, boxes, unturned(boxes), self.settings.view_px, largest)
        colours = images[:, ::2]
        targets = {"colours": colours / 255, "histograms": histograms(colours)}
        return Views(images[:, 1:2].expand(-1, 3, -1, -1), targets)

    def head(self, channels: Sequence[int]) -> nn.Module:
        """Painter and histogram."""
        return ColorMeHead(channels)

    def loss(self, outputs: Outputs, targets: Mapping[str, Tensor], /) -> tuple[Tensor, Metrics]:
        """Mean squared error + divergence."""
        paint = F.mse_loss(outputs["colours"].float(), targets["colours"])
        guessed = outputs["histograms"].float().log_softmax(dim=2)
        divergence = F.kl_div(guessed, targets["histograms"], reduction="none").sum(dim=2).mean()
        return paint + divergence, {"loss_paint": paint.detach(), "loss_histogram": divergence.detach()}

    def warning(self, means: Mapping[str, float]) -> str | None:
        """Colours off by more than a third of the range: worse than one grey for all."""
        if means["loss_paint"] < 1 / 9:
            return None
        return f"the painted colours are far off ({means['loss_paint']:.3f}). Try a lower learning rate or more steps"


def histograms(colours: Tensor) -> Tensor:
    """Fraction of pixels in each of 32 bins: (N, C, H, W) in 0 … 255 → (N, C, 32)."""
    bins = (colours * (BINS / 256)).long().clamp_(0, BINS - 1).flatten(2)
    counts = torch.zeros(*bins.shape[:2], BINS, device=colours.device)
    counts.scatter_add_(2, bins, torch.ones_like(bins, dtype=counts.dtype))
    return counts / bins.shape[2]
