"""Crops out of images by one mapping each: rotation, mirror, zoom, shear and elastic displacement, resampled once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wsi_nucssl.train.recipe import Augmentation

Rng = np.random.Generator


def crop(
    planes: Sequence[Tensor], labels: Sequence[Tensor], size: int, settings: Augmentation, rngs: Sequence[Rng]
) -> tuple[Tensor, Tensor]:
    """A random view of each image and of its label image.

    Parameters
    ----------
    planes : sequence of Tensor
        One image for each crop, uint8 (C, row, col): RGB and whatever else is to be resampled with it; at least
        `footprint` px a side.
    labels : sequence of Tensor
        Their label images, int32 (row, col).
    size : int
        Side of the crops, in px.
    rngs : sequence of Generator
        One for each crop.

    Returns
    -------
    tuple of Tensor
        Planes, float32 (N, C, size, size) in 0 … 255, bilinear; labels, int64 (N, size, size), nearest. What the
        mapping asks for beyond an image is mirrored.
    """
    side = footprint(size, settings)
    device = planes[0].device
    draws = [_draw(each.shape, size, settings, rng) for each, rng in zip(labels, rngs, strict=True)]
    corners = [_corner(centre, each.shape, side) for (_, centre, _), each in zip(draws, labels, strict=True)]
    boxes = [(slice(y, y + side), slice(x, x + side)) for x, y in corners]
    matrices = torch.tensor(np.array([matrix for matrix, _, _ in draws]), dtype=torch.float32, device=device)
    centres = np.array([centre for _, centre, _ in draws]) - corners
    knots = torch.tensor(np.array([knots for _, _, knots in draws]), dtype=torch.float32, device=device)
    mapping = _mapping(matrices, torch.tensor(centres, dtype=torch.float32, device=device), knots, size)
    grid = (mapping + 0.5) * (2 / side) - 1
    seen = torch.stack([each[:, rows, cols] for each, (rows, cols) in zip(planes, boxes, strict=True)])
    marks = torch.stack([each[rows, cols] for each, (rows, cols) in zip(labels, boxes, strict=True)])
    view = _sample(seen, grid, "bilinear")
    return view, _sample(marks[:, None], grid, "nearest")[:, 0].long()  # exact up to label 2²⁴


def _sample(planes: Tensor, grid: Tensor, mode: str) -> Tensor:
    return F.grid_sample(planes.float(), grid, mode=mode, padding_mode="reflection", align_corners=False)


def footprint(size: int, settings: Augmentation) -> int:
    """Side of a square of source px that holds any view of `size` px, however it is turned."""
    reach = size / 2 * (1 + settings.scale) * (1 + settings.shear) * 2**0.5
    return 2 * int(np.ceil(reach + 3 * settings.elastic_px))


def _draw(
    shape: Sequence[int], size: int, settings: Augmentation, rng: Rng
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Matrix (2, 2), centre (x, y) in the image, and elastic knots (2, k, k) of one mapping."""
    height, width = shape
    angle = rng.uniform(0, 2 * np.pi)
    zoom = np.exp(rng.uniform(-1, 1) * np.log1p(settings.scale))
    mirror = rng.choice((-1.0, 1.0))
    shear_x, shear_y = rng.uniform(-settings.shear, settings.shear, 2)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear_x], [shear_y, 1]]) / zoom
    matrix[:, 0] *= mirror
    reach = size / (2 * zoom)  # keep the unrotated view inside the image where it fits
    centre_x = rng.uniform(min(reach, width / 2), max(width - reach, width / 2))
    centre_y = rng.uniform(min(reach, height / 2), max(height - reach, height / 2))
    count = size // settings.elastic_cell_px + 2
    return matrix, np.array([centre_x, centre_y]), rng.normal(0, settings.elastic_px, (2, count, count))


def _corner(centre: NDArray[np.float64], shape: Sequence[int], side: int) -> tuple[int, int]:
    """Top left (x, y) of the square of `side` px around a centre, inside the image."""
    x, y = (
        int(np.clip(round(c - side / 2), 0, length - side))
        for c, length in zip(centre, shape[::-1], strict=True)
    )
    return x, y


def _mapping(matrices: Tensor, centres: Tensor, knots: Tensor, size: int) -> Tensor:
    """Source coordinates (N, size, size, 2), (x, y) as pixel indices, of each pixel of the views."""
    steps = torch.arange(size, dtype=torch.float32, device=knots.device) - (size - 1) / 2
    plain = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    bent = F.interpolate(knots, size=(size, size), mode="bicubic", align_corners=False)
    return torch.einsum("nij,nyxj->nyxi", matrices, plain + bent.permute(0, 2, 3, 1)) + centres[:, None, None]
