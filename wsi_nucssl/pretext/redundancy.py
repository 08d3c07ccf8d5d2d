"""How much the channels of a feature map repeat one another.

A task whose answer is one number, such as the scale of a view, can be solved with features that all say that number:
*dimensional collapse* (Jing et al., 2022, https://arxiv.org/abs/2110.09348). The task is then solved perfectly, by an
encoder worse than a random one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

LOGGED: Final = "redundancy_"
"""Before the number of a feature map, from 1, finest first: the name that its redundancy is logged by."""
POSITIONS: Final = 8192
"""Pixels of a feature map that are looked at, about."""
_EPSILON: Final = 1e-4
"""Keeps a channel that is constant from being divided by zero."""


def redundancy(features: Tensor) -> Tensor:
    """Logarithm of the number of channels for each independent direction: (M, C, h, w) → float32 scalar.

    It is log(C / D), where D = C² / ‖R‖² is the participation ratio of R, the matrix of the channels' correlations over
    the pixels of all images. 0 where no channel predicts another, log C where all channels are one. With fewer pixels
    than channels it cannot reach 0.

    The sum of squared correlations is what VICReg (Bardes et al., 2022) and Barlow Twins (Zbontar et al., 2021) hold
    down; its logarithm weighs the layers of a network alike, however many channels they have.
    """
    images, channels, height, width = features.shape
    step = max(1, math.isqrt(images * height * width // POSITIONS))
    with torch.autocast(features.device.type, enabled=False):
        # Pooling, not slicing: its gradient keeps the map's memory format, or the layers below have to restore it.
        some = F.avg_pool2d(features, kernel_size=1, stride=step)
        pixels = some.permute(0, 2, 3, 1).reshape(-1, channels).float()
        pixels = pixels - pixels.mean(dim=0)
        covariance = pixels.T @ pixels / len(pixels)
        scale = (covariance.diagonal() + _EPSILON).rsqrt()
        correlations = covariance * scale * scale.unsqueeze(1)
        return (correlations.square().sum() / channels).log()


def logged(redundancies: Tensor) -> dict[str, Tensor]:
    """Those of the feature maps, finest first, (5,), by the names that they are logged by."""
    return {f"{LOGGED}{number}": each for number, each in enumerate(redundancies.detach(), start=1)}


def collapse(first: Mapping[str, float], means: Mapping[str, float]) -> str | None:
    """What is wrong where features are twice as redundant as in a run's `first` interval, and what to try."""
    before, now = (
        fmean(value for name, value in scalars.items() if name.startswith(LOGGED))
        for scalars in (first, means)
    )
    if now - before < math.log(2):
        return None
    return (
        f"the encoder's features have collapsed to a few directions: {math.exp(now):.0f} channels for each, "
        f"{math.exp(before):.0f} at the start. Such an encoder can be worse than none; set decorrelation: 10 in the "
        "recipe, and look at wsi-nucssl probe"
    )
