"""Stains varied in optical density: the vectors of another image, other strengths, hematoxylin alone.

An image's own vectors are estimated as by Macenko et al., 2009 (https://doi.org/10.1109/ISBI.2009.5193250).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsi_nucssl.nuclei.stain_vectors import EOSIN, HEMATOXYLIN
from wsi_nucssl.train.augment.draws import Draws, Floats, to_device

if TYPE_CHECKING:
    from wsi_nucssl.train.recipe import Augmentation

Vectors = NDArray[np.float64]
"""(3, 3): unit vectors of optical density in R, G and B of hematoxylin, eosin and what is left."""

_STAINED: Final = 0.15
"""Least optical density (natural logarithm) in every channel of a pixel that counts as stained."""
_LEAST_STAINED: Final = 1000
_EXTREME: Final = 1.0
"""Percentile of the angles that are taken for pure stains."""


def standard_vectors() -> Vectors:
    """The published vectors of Ruifrok and Johnston, 2001."""
    return _with_residual(np.array(HEMATOXYLIN), np.array(EOSIN))


def estimated_vectors(image: NDArray[np.uint8]) -> Vectors:
    """The stain vectors of an RGB image (row, col, 3); the published ones where it shows too little stain to tell."""
    density = -np.log((image.reshape(-1, 3).astype(np.float64) + 1) / 256)
    stained = density[(density > _STAINED).all(axis=1)]
    if len(stained) < _LEAST_STAINED:
        return standard_vectors()
    _, _, axes = np.linalg.svd(stained.T @ stained)
    plane = axes[:2] * np.sign(axes[:2].sum(axis=1, keepdims=True))
    x, y = (stained @ plane.T).T
    low, high = np.percentile(np.arctan2(y, x), [_EXTREME, 100 - _EXTREME])
    ends = [np.array([np.cos(angle), np.sin(angle)]) @ plane for angle in (low, high)]
    ends = [np.maximum(end, 1e-3) for end in ends]
    hematoxylin, eosin = sorted(ends, key=lambda end: -end[0] / np.linalg.norm(end))  # absorbs more red
    return _with_residual(hematoxylin, eosin)


def _with_residual(hematoxylin: NDArray[np.float64], eosin: NDArray[np.float64]) -> Vectors:
    first, second = (vector / np.linalg.norm(vector) for vector in (hematoxylin, eosin))
    residual = np.cross(first, second)
    length = np.linalg.norm(residual)
    if length < 0.05:  # nearly one stain: another vector would be noise
        return standard_vectors()
    return np.stack([first, second, residual / length])


@dataclass(frozen=True, slots=True)
class Palette:
    """The stain vectors of all training images, to exchange."""

    vectors: tuple[Vectors, ...]

    def restain(self, view: Tensor, own: Sequence[Vectors], settings: Augmentation, draws: Draws) -> Tensor:
        """Views (N, 3, S, S) in 0 … 255 with other stains; `own` are the vectors of the image of each."""
        mixing, offset, light = (
            to_device(each, view.device) for each in self._draw(np.stack(own), settings, draws)
        )
        density = torch.log(view + 1) - math.log(256)  # negative densities, so that no sign is turned twice
        density = torch.einsum("ncd,ncyx->ndyx", mixing, density) - offset[:, :, None, None]
        return density.exp_().mul_(256 * light[:, None, None, None]).sub_(1).clamp_(0, 255)

    def _draw(self, own: Floats, settings: Augmentation, draws: Draws) -> tuple[Floats, Floats, Floats]:
        """Mixing matrices (N, 3, 3) and offsets (N, 3) of optical densities, and factors of the light (N,)."""
        gain = 1 + draws.uniform(-settings.stain, settings.stain, 3)
        shift = draws.uniform(-settings.stain_shift, settings.stain_shift, 3)
        light = 1 + draws.uniform(-settings.brightness, settings.brightness)
        other = np.stack(self.vectors)[draws.integers(0, len(self.vectors))]
        exchanged = draws.random() < settings.exchange_p
        target = np.where(exchanged[:, None, None], other, own)
        gain[draws.random() < settings.hematoxylin_only_p, 1:] = 0
        mixing = np.linalg.inv(own) @ (gain[:, :, None] * target)
        return mixing, (shift[:, None] @ target)[:, 0], light
