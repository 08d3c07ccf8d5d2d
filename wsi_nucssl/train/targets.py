"""`nuclei.targets.three_class` for a batch of label images, on whichever device they are."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wsi_nucssl.nuclei.targets import BACKGROUND, BODY, BOUNDARY, disk


def three_class(labels: Tensor, boundary_px: int, most: int | None = None) -> Tensor:
    """Label images (N, row, col), int64 → classes (N, row, col), uint8; equal to the function of numpy's arrays.

    Where `most`, which no label exceeds, is given, the device is not waited for.
    """
    most = int(labels.max()) if most is None else most
    body = _inner(labels, boundary_px)
    for narrower in range(boundary_px - 1, -1, -1):
        body |= _bodiless(labels, body, most) & _inner(labels, narrower)
    classes = torch.full_like(labels, BACKGROUND, dtype=torch.uint8)
    return classes.masked_fill_(labels > 0, BOUNDARY).masked_fill_(body, BODY)


def _bodiless(labels: Tensor, body: Tensor, most: int) -> Tensor:
    """Pixels of nuclei that have no body pixel."""
    bodies = torch.zeros(len(labels), most + 1, dtype=torch.bool, device=labels.device)
    bodies.scatter_(1, (labels * body).flatten(1), True)
    return ~bodies.gather(1, labels.flatten(1)).view_as(labels) & (labels > 0)


def _inner(labels: Tensor, boundary_px: int) -> Tensor:
    """Pixels of nuclei with nothing but their own nucleus within `boundary_px`."""
    rows, cols = labels.shape[1:]
    plane = F.pad(labels[:, None].float(), (boundary_px,) * 4, mode="replicate")[:, 0]
    same = labels > 0
    centre = labels.float()
    for row, col in np.argwhere(disk(boundary_px)):
        same &= plane[:, row : row + rows, col : col + cols] == centre
    return same
