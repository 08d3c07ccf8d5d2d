"""`nuclei.targets.three_class` for a batch of label images, on whichever device they are."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wsi_nucssl.nuclei.targets import BACKGROUND, BODY, BOUNDARY, disk

UNKNOWN_TYPE: Final = 255
"""Type of a px that has none, or of which nobody says it; others count from 0."""


def three_class(labels: Tensor, boundary_px: int, most: int | None = None) -> Tensor:
    """Label images (N, row, col), int64 → classes (N, row, col), uint8; equal to the function of numpy's arrays.

    Where `most`, which no label exceeds, is given, the device is not waited for.
    """
    most = int(labels.max()) if most is None else most
    kind = torch.int16 if most <= torch.iinfo(torch.int16).max else torch.int32
    body = _inner(labels, boundary_px, kind)
    for narrower in range(boundary_px - 1, -1, -1):
        body |= _bodiless(labels, body, most) & _inner(labels, narrower, kind)
    classes = torch.full_like(labels, BACKGROUND, dtype=torch.uint8)
    return classes.masked_fill_(labels > 0, BOUNDARY).masked_fill_(body, BODY)


def _bodiless(labels: Tensor, body: Tensor, most: int) -> Tensor:
    """Pixels of nuclei that have no body pixel."""
    bodies = torch.zeros(len(labels), most + 1, dtype=torch.bool, device=labels.device)
    bodies.scatter_(1, (labels * body).flatten(1), True)
    return ~bodies.gather(1, labels.flatten(1)).view_as(labels) & (labels > 0)


def _inner(labels: Tensor, boundary_px: int, kind: torch.dtype) -> Tensor:
    """Pixels of nuclei with nothing but their own nucleus within `boundary_px`; `kind` holds every label."""
    same = labels > 0
    if not boundary_px:
        return same
    rows, cols = labels.shape[1:]
    plane = F.pad(labels[:, None].float(), (boundary_px,) * 4, mode="replicate")[:, 0].to(kind)
    centre = labels.to(kind)
    offsets = np.argwhere(disk(boundary_px))
    for row, col in offsets[(offsets != boundary_px).any(axis=1)]:
        same &= plane[:, row : row + rows, col : col + cols] == centre
    return same
