"""What scanners and files do to a picture: coarse scanning, blur, the network's own mpp, noise, JPEG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wsi_nucssl.train.augment.scene import gaussian_blur
from wsi_nucssl.train.recipe import Augmentation

Rng = np.random.Generator

_TRIANGLE: Final = (0.125, 0.375, 0.375, 0.125)
_QUANTISATION: Final = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""ITU-T T.81, table K.1."""
_YCBCR: Final = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)


def coarsen(view: Tensor, settings: Augmentation, rngs: Sequence[Rng]) -> Tensor:
    """Some of the views (N, 3, S, S) as a scanner of up to twice the mpp would have seen them."""
    view = view.clone()
    size = view.shape[-1]
    for number, rng in enumerate(rngs):
        if rng.random() < settings.coarse_p:
            small = round(size / rng.uniform(1.2, 2.0))
            reduced = F.interpolate(view[number : number + 1], size=(small, small), mode="area")
            view[number] = F.interpolate(reduced, size=(size, size), mode="bilinear", align_corners=False)[0]
    return view


def blur(view: Tensor, settings: Augmentation, rngs: Sequence[Rng]) -> Tensor:
    """Some of the views (N, 3, S, S) out of focus."""
    chosen = [number for number, rng in enumerate(rngs) if rng.random() < settings.blur_p]
    if not chosen:
        return view
    sigmas = torch.tensor([rngs[number].uniform(0.3, 1.5) for number in chosen], dtype=torch.float32)
    view = view.clone()
    view[chosen] = gaussian_blur(view[chosen], sigmas)
    return view


def reduce_twice(view: Tensor) -> Tensor:
    """(N, C, S, S) at twice the mpp, by the triangle filter that slides are resampled with: (N, C, S / 2, S / 2)."""
    channels = view.shape[1]
    line = torch.tensor(_TRIANGLE, dtype=view.dtype, device=view.device)
    kernel = (line[:, None] * line[None, :]).expand(channels, 1, 4, 4)
    return F.conv2d(F.pad(view, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, groups=channels)


def expose(view: Tensor, settings: Augmentation, rngs: Sequence[Rng]) -> Tensor:
    """Sensor noise and JPEG on some of the views (N, 3, S, S), in 0 … 255; rounded to bytes: uint8."""
    noise = [rng.uniform(1, 8) if rng.random() < settings.noise_p else 0.0 for rng in rngs]
    quality = [rng.uniform(50, 95) if rng.random() < settings.jpeg_p else 0.0 for rng in rngs]
    generator = torch.Generator(view.device).manual_seed(int(rngs[0].integers(2**62)))
    grain = torch.randn(view.shape, generator=generator, device=view.device)
    view = view + grain * torch.tensor(noise, dtype=view.dtype, device=view.device)[:, None, None, None]
    chosen = [number for number, value in enumerate(quality) if value]
    if chosen:
        view[chosen] = jpeg(view[chosen], torch.tensor([quality[number] for number in chosen]))
    return view.clamp(0, 255).round().to(torch.uint8)


def jpeg(view: Tensor, quality: Tensor) -> Tensor:
    """What JPEG of a quality (N,) in 1 … 100 leaves of (N, 3, S, S), S a multiple of 8; without chroma subsampling.

    The luminance table serves all three planes, scaled as by the Independent JPEG Group.
    """
    count, _, height, width = view.shape
    colours = torch.tensor(_YCBCR, dtype=view.dtype, device=view.device)
    planes = torch.einsum("dc,ncyx->ndyx", colours, view)
    planes[:, 0] -= 128
    blocks = planes.reshape(count, 3, height // 8, 8, width // 8, 8).permute(0, 1, 2, 4, 3, 5)
    basis = _cosines().to(view)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    table = torch.tensor(_QUANTISATION, dtype=view.dtype, device=view.device)
    steps = (table * scale.to(view)[:, None, None]).round().clamp_min(1)[:, None, None, None]
    coefficients = ((basis @ blocks @ basis.T) / steps).round() * steps
    planes = (basis.T @ coefficients @ basis).permute(0, 1, 2, 4, 3, 5).reshape(count, 3, height, width)
    planes[:, 0] += 128
    return torch.einsum("dc,ncyx->ndyx", torch.linalg.inv(colours), planes).clamp(0, 255)


def _cosines() -> Tensor:
    """The orthonormal DCT-II of 8 samples, (8, 8)."""
    steps = torch.arange(8, dtype=torch.float64)
    basis = torch.cos(torch.pi / 8 * (steps[None, :] + 0.5) * steps[:, None]) / 2
    basis[0] /= 2**0.5
    return basis
