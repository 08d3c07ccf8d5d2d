"""Views of tiles, cut, resized and varied on the device in batches.

The loader sends one tile and a few numbers for each item; everything here is a function of those, so a view is the same
whichever process or worker prepared it.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from wsi_nucssl.nuclei.stain_vectors import EOSIN, HEMATOXYLIN

DIHEDRAL: Final = torch.tensor(
    [
        [[sx * (1 - swap), sx * swap], [sy * swap, sy * (1 - swap)]]
        for swap in (0, 1)
        for sx in (1, -1)
        for sy in (1, -1)
    ],
    dtype=torch.float32,
)
"""The eight turns and mirrors of a square, (8, 2, 2); the first is the identity."""

_DAB: Final = (0.27, 0.57, 0.78)
"""Ruifrok's and Johnston's third stain, which stands for all that is neither of the two."""
_RGB_FROM_HED: Final = torch.tensor((HEMATOXYLIN, EOSIN, _DAB))
_HED_FROM_RGB: Final = torch.linalg.inv(_RGB_FROM_HED.double()).float()


def cut(tiles: Tensor, boxes: Tensor, turns: Tensor, size: int, largest_px: int) -> Tensor:
    """Cut squares out of tiles and bring each to `size` px.

    Parameters
    ----------
    tiles : Tensor
        uint8 (N, 3, T, T).
    boxes : Tensor
        (N, V, 4), x0, y0, x1, y1 in px of the tile, half-open.
    turns : Tensor
        (N, V), indices into `DIHEDRAL`.
    largest_px : int
        Side of the largest box; where it exceeds `size`, pixels are averaged so that nothing aliases.

    Returns
    -------
    Tensor
        float32 (V · N, 3, size, size), whole numbers in 0 … 255, all first views first. A box of side
        `size` is copied exactly.
    """
    source = tiles.float()
    oversampling = max(1, -(-largest_px // size))
    views = []
    for box, turn in zip(boxes.float().unbind(1), turns.unbind(1), strict=True):
        points = _points(box, turn, tiles.shape[-1], size * oversampling)
        view = F.grid_sample(source, points, mode="bilinear", padding_mode="border", align_corners=False)
        views.append(F.avg_pool2d(view, oversampling) if oversampling > 1 else view)
    return torch.cat(views).round_()


def _points(box: Tensor, turn: Tensor, tile_px: int, size: int) -> Tensor:
    """Where each pixel of the views of boxes (N, 4) lies in the tile, (N, size, size, 2), x and y in [-1, 1].

    No point lies further out than the centres of the box's outermost pixels, so that nothing beyond the box is seen.
    """
    low, high = box[:, :2], box[:, 2:]
    matrix = DIHEDRAL.to(box.device)[turn.long()] * ((high - low) / tile_px).unsqueeze(2)
    centre = ((low + high) / tile_px - 1).unsqueeze(2)
    points = F.affine_grid(torch.cat([matrix, centre], dim=2), [len(box), 3, size, size], align_corners=False)
    first, last = ((2 * edge / tile_px - 1)[:, None, None] for edge in (low + 0.5, high - 0.5))
    return points.clamp(first, last)


def blur(images: Tensor, sigma_px: Tensor, max_sigma_px: float) -> Tensor:
    """Gaussian blur, its width given for each image: (M, 3, H, W) and (M,) → (M, 3, H, W)."""
    count, channels, height, width = images.shape
    reach = math.ceil(3 * max_sigma_px)
    steps = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-steps.square() / (2 * sigma_px.clamp_min(0.05).square().unsqueeze(1)))
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    planes = F.pad(images, (reach,) * 4, mode="replicate").view(
        1, count * channels, height + 2 * reach, width + 2 * reach
    )
    planes = F.conv2d(planes, kernel[:, None, :, None], groups=count * channels)
    planes = F.conv2d(planes, kernel[:, None, None, :], groups=count * channels)
    return planes.view(count, channels, height, width)


def add_noise(images: Tensor, sigma: Tensor, seed: int) -> Tensor:
    """Gaussian noise, its grey-value deviation given for each image: (M, 3, H, W) and (M,) → (M, 3, H, W)."""
    generator = torch.Generator(images.device).manual_seed(seed)
    noise = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
    return images + noise * sigma.view(-1, 1, 1, 1)


def restain(images: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """Scale and shift the optical density of hematoxylin, eosin and residual.

    Images (M, 3, H, W), gain and shift (M, 3) → (M, 3, H, W).
    """
    to_hed, to_rgb = _HED_FROM_RGB.to(images.device), _RGB_FROM_HED.to(images.device)
    mixing = to_hed @ (gain.unsqueeze(2) * to_rgb)  # (M, 3, 3), row vectors of density
    density = -torch.log((images + 1) / 256)
    density = torch.einsum("mchw,mcd->mdhw", density, mixing) + (shift @ to_rgb)[:, :, None, None]
    return 256 * torch.exp(-density) - 1


def quantise(images: Tensor) -> Tensor:
    """Whole numbers in 0 … 255, as in an image file."""
    return images.round_().clamp_(0, 255)
