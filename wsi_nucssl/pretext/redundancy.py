"""How much the channels of a feature map repeat one another.

A task whose answer is one number, such as the scale of a view, can be solved with features that all say that number:
*dimensional collapse* (Jing et al., 2022). The task is then solved perfectly, by an encoder worse than a random one.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

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
