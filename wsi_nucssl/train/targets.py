"""`nuclei.targets.three_class` for a batch of label images, on whichever device they are."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wsi_nucssl.nuclei.targets import BACKGROUND, BODY, BOUNDARY, disk


def three_class(labels: Tensor, boundary_px: int) -> Tensor:
    """Label images (N, row, col), int64 → classes (N, row, col), uint8; equal to the function of numpy's arrays."""
    body = _inner(labels, boundary_px)
    for narrower in range(boundary_px - 1, -1, -1):
        bodiless = _bodiless(labels, body)
        if not bool(bodiless.any()):
            break
        body |= bodiless & _inner(labels, narrower)
    classes = torch.full_like(labels, BACKGROUND, dtype=torch.uint8)
    classes[labels > 0] = BOUNDARY
    classes[body] = BODY
    return classes


def _bodiless(labels: Tensor, body: Tensor) -> Tensor:
    """Pixels of nuclei that have no body pixel."""
    count = int(labels.max()) + 1
    numbered = labels + count * torch.arange(len(labels), device=labels.device)[:, None, None]
    bodies = torch.bincount(numbered[body], minlength=count * len(labels))
    return (bodies == 0)[numbered] & (labels > 0)


def _inner(labels: Tensor, boundary_px: int) -> Tensor:
    """Pixels of nuclei with nothing but their own nucleus within `boundary_px`."""
    rows, cols = labels.shape[1:]
    plane = F.pad(labels[:, None].float(), (boundary_px,) * 4, mode="replicate")[:, 0]
    same = labels > 0
    centre = labels.float()
    for row, col in np.argwhere(disk(boundary_px)):
        same &= plane[:, row : row + rows, col : col + cols] == centre
    return same
