"""Stains varied in optical density: the vectors of another image, other strengths, hematoxylin alone.

An image's own vectors are estimated as by Macenko et al., 2009 (https://doi.org/10.1109/ISBI.2009.5193250).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsi_nucssl.nuclei.stain import EOSIN, HEMATOXYLIN
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


def stain_vectors(image: NDArray[np.uint8]) -> Vectors:
    """The stain vectors of an RGB image (row, col, 3); the published ones where it shows too little stain to tell."""
    density = -np.log((image.reshape(-1, 3).astype(np.float64) + 1) / 256)
    stained = density[(density > _STAINED).all(axis=1)]
    if len(stained) < _LEAST_STAINED:
        return standard_vectors()
    _, _, axes = np.linalg.svd(stained.T @ stained)
    plane = axes[:2] * np.sign(axes[:2].sum(axis=1, keepdims=True))
    x, y = stained @ plane.T @ np.eye(2)[:, 0], stained @ plane.T @ np.eye(2)[:, 1]
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

    def restain(
        self,
        view: Tensor,
        own: Sequence[Vectors],
        settings: Augmentation,
        rngs: Sequence[np.random.Generator],
    ) -> Tensor:
        """Views (N, 3, S, S) in 0 … 255 with other stains; `own` are the vectors of the image of each."""
        changes = [self._draw(vectors, settings, rng) for vectors, rng in zip(own, rngs, strict=True)]
        mixing, offset, light = (
            torch.tensor(np.array(each), dtype=torch.float32, device=view.device)
            for each in zip(*changes, strict=True)
        )
        density = -torch.log((view + 1) / 256)
        density = torch.einsum("ncd,ncyx->ndyx", mixing, density) + offset[:, :, None, None]
        return (torch.exp(-density) * 256 * light[:, None, None, None] - 1).clamp(0, 255)

    def _draw(
        self, own: Vectors, settings: Augmentation, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Mixing matrix (3, 3) and offset (3,) of optical densities, and a factor of the light."""
        gain = 1 + rng.uniform(-settings.stain, settings.stain, 3)
        shift = rng.uniform(-settings.stain_shift, settings.stain_shift, 3)
        light = 1 + rng.uniform(-settings.brightness, settings.brightness)
        other = self.vectors[rng.integers(len(self.vectors))]
        target = other if rng.random() < settings.exchange_p else own
        if rng.random() < settings.hematoxylin_only_p:
            gain[1:] = 0
        return np.linalg.inv(own) @ np.diag(gain) @ target, shift @ target, light
