"""Blur, reduction and smooth fields as matrices: each works along rows as along columns, so one matrix says it all."""

from __future__ import annotations

from functools import cache
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

# What is cached is made on the CPU and copied at once: threads with streams of their own share it.

_TRIANGLE: Final = (0.125, 0.375, 0.375, 0.125)
_REACH: Final = 3.0
"""Standard deviations at which a Gaussian is cut off."""


def apply(matrices: Tensor, planes: Tensor) -> Tensor:
    """Each of the planes (N, C, S, S) with its matrix (N or 1, T, S) along both axes: (N, C, T, T)."""
    count, channels, side, _ = planes.shape
    matrices = matrices.mT.expand(count, -1, -1)
    half = (planes.reshape(count, channels * side, side) @ matrices).view(count, channels, side, -1).mT
    return (half.reshape(count, -1, side) @ matrices).view(count, channels, half.shape[2], -1).mT


def gaussians(sigmas: Tensor, size: int, largest: float) -> Tensor:
    """Blurs of `sigmas` (N,) px, none above `largest`, that mirror what lies beyond the edges: (N, size, size)."""
    reach = min(max(1, -int(-_REACH * largest // 1)), size - 1)
    distances = torch.arange(reach + 2, device=sigmas.device)
    weights = torch.exp(-0.5 * (distances / sigmas[:, None]).square())
    weights[:, -1] = 0
    taps = weights[:, _distances(size, reach + 1, sigmas.device)].sum(dim=1)
    return taps / taps.sum(dim=2, keepdim=True)


def coarsenings(sides: Tensor, size: int, largest: int) -> Tensor:
    """Averaging to `sides` (N,) px, none above `largest`, and bilinear enlarging again: (N, size, size)."""
    sides = sides[:, None, None]
    rows = torch.arange(largest, device=sides.device)[:, None]
    cols = torch.arange(size, device=sides.device)
    first, stop = rows * size // sides, -(-(rows + 1) * size // sides)
    reduce = ((cols >= first) & (cols < stop) & (rows < sides)).float() / (stop - first)
    places = ((cols[:, None] + 0.5) * sides / size - 0.5).clamp_min(0)
    places = torch.minimum(places, sides - 1.0)
    return (1 - (places - rows[:, 0]).abs()).clamp_min(0) @ reduce


@cache
def halving(size: int, device: torch.device) -> Tensor:
    """The triangle filter that slides are resampled with, at twice the mpp: (1, size / 2, size)."""
    matrix = torch.zeros(size // 2, size)
    rows = torch.arange(size // 2)
    for tap, weight in enumerate(_TRIANGLE):
        cols = (2 * rows + tap - 1).clamp(0, size - 1)
        matrix[rows, cols] += weight
    return matrix[None].to(device)


@cache
def cubics(knots: int, size: int, device: torch.device, *, ends: bool) -> Tensor:
    """Bicubic interpolation of `knots` values to `size` px, the outer ones on the edges if `ends`: (1, size, knots)."""
    each = torch.eye(knots)[None, :, :, None]
    return F.interpolate(each, (size, 1), mode="bicubic", align_corners=ends)[..., 0].mT.to(device)


@cache
def cubic_table(most: int, size: int, device: torch.device) -> Tensor:
    """`cubics` with `ends` for 2, 3, …, `most` knots, padded with zeros: (most − 1, size, most)."""
    each = [cubics(knots, size, torch.device("cpu"), ends=True)[0] for knots in range(2, most + 1)]
    return torch.stack([F.pad(matrix, (0, most - matrix.shape[1])) for matrix in each]).to(device)


@cache
def _distances(size: int, beyond: int, device: torch.device) -> Tensor:
    """Distance from each px to each px and to its two mirror images, at most `beyond`: (3, size, size)."""
    px = torch.arange(size)
    rows, cols = px[:, None], px[None, :]
    low = torch.where(cols > 0, rows + cols, beyond)
    high = torch.where(cols < size - 1, 2 * (size - 1) - rows - cols, beyond)
    return torch.stack([(rows - cols).abs(), low, high]).clamp(max=beyond).to(device)
