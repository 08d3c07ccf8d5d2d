"""Crops out of images by one mapping each: rotation, mirror, zoom, shear and elastic displacement, resampled once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wsi_nucssl.train.augment.draws import Draws, Floats, to_device
from wsi_nucssl.train.augment.separable import apply, cubics

if TYPE_CHECKING:
    from wsi_nucssl.train.recipe import Augmentation


def crop(
    planes: Sequence[Tensor], labels: Sequence[Tensor], size: int, settings: Augmentation, draws: Draws
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
    draws : Draws
        Of the crops.

    Returns
    -------
    tuple of 2 Tensor
        Tuple of 2 Tensor Tuple of 2 Tensor Tuple of Tensor Planes, float32 (N, C, size, size) in 0 … 255,
        bilinear; labels, int64 (N, size, size), nearest. What the mapping asks for beyond an image is
        mirrored.
    """
    side = footprint(size, settings)
    device = planes[0].device
    shapes_xy = np.array([each.shape[::-1] for each in labels])
    matrices, centres = _draw(shapes_xy, size, settings, draws)
    count = size // settings.elastic_cell_px + 2
    knots = settings.elastic_px * draws.normal(2, count, count)
    corners = np.clip(np.rint(centres - side / 2), 0, shapes_xy - side).astype(np.int64)
    boxes = [(slice(y, y + side), slice(x, x + side)) for x, y in corners.tolist()]
    scale = 2 / side  # from px of the square around a view to the −1 … 1 of `grid_sample`
    shifts = to_device((centres - corners + 0.5) * scale - 1, device)
    grid = _mapping(to_device(matrices * scale, device), shifts, to_device(knots, device), size)
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
    shapes_xy: NDArray[np.int64], size: int, settings: Augmentation, draws: Draws
) -> tuple[Floats, Floats]:
    """Matrices (N, 2, 2) and centres (N, 2), (x, y) in the image, of the mappings."""
    angle = draws.uniform(0, 2 * np.pi)
    zoom = np.exp(draws.uniform(-1, 1) * np.log1p(settings.scale))
    mirror = np.where(draws.random() < 0.5, -1.0, 1.0)
    shear = np.ones((len(draws), 2, 2))
    shear[:, [0, 1], [1, 0]] = draws.uniform(-settings.shear, settings.shear, 2)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cos, -sin], axis=1), np.stack([sin, cos], axis=1)], axis=1)
    matrices = turn @ shear / zoom[:, None, None]
    matrices[:, :, 0] *= mirror[:, None]
    reach = (size / (2 * zoom))[:, None]  # keep the unrotated view inside the image where it fits
    low, high = np.minimum(reach, shapes_xy / 2), np.maximum(shapes_xy - reach, shapes_xy / 2)
    return matrices, low + (high - low) * draws.random(2)


def _mapping(matrices: Tensor, shifts: Tensor, knots: Tensor, size: int) -> Tensor:
    """Source coordinates (N, size, size, 2), (x, y), of each pixel of the views."""
    steps = torch.arange(size, dtype=torch.float32, device=knots.device) - (size - 1) / 2
    plain = torch.stack(torch.meshgrid(steps, steps, indexing="xy"))
    bent = apply(cubics(knots.shape[-1], size, knots.device, ends=False), knots)
    mapped = matrices @ (plain + bent).flatten(2) + shifts[:, :, None]
    return mapped.mT.reshape(len(knots), size, size, 2)
