"""What lies on slides beside tissue: glass, fill outside the scan, pen, folds, dust. Nothing under them is a nucleus.

Each step changes the views that its probability draws. A nucleus that is covered leaves the labels; of one that is cut,
what is visible stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wsi_nucssl.train.recipe import Augmentation

Rng = np.random.Generator
_PENS: Final = ((20, 20, 25), (30, 50, 160), (20, 110, 60), (170, 30, 40))


def cover(view: Tensor, labels: Tensor, settings: Augmentation, rngs: Sequence[Rng]) -> tuple[Tensor, Tensor]:
    """Views (N, 3, S, S) in 0 … 255 and labels (N, S, S) with what may lie on a slide."""
    view, labels = view.clone(), labels.clone()
    steps = (
        (settings.fold_p, _fold),
        (settings.glass_p, _glass),
        (settings.dust_p, _dust),
        (settings.pen_p, _pen),
        (settings.fill_p, _fill),
    )
    for number, rng in enumerate(rngs):
        for probability, step in steps:
            if rng.random() < probability:
                view[number], covered = step(view[number], rng)
                labels[number][covered] = 0
    return view, labels


Step = Callable[[Tensor, Rng], tuple[Tensor, Tensor]]


def _glass(view: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
    """Near-white glass along a smooth or a straight border, with a soft edge, uneven light and noise."""
    field = _smooth(view, rng, int(rng.integers(2, 6))) if rng.random() < 0.6 else _ramp(view, rng)
    hard = (field > torch.quantile(field, rng.uniform(0.3, 0.9))).float()
    alpha = _softened(hard, rng.uniform(0.5, 2.0))
    level = rng.uniform(226, 252) + rng.uniform(-5, 5, 3)
    noise = torch.tensor(rng.normal(0, rng.uniform(0.3, 3), view.shape), dtype=view.dtype, device=view.device)
    glass = _colour(view, level) + 2 * _smooth(view, rng, 2) + noise
    return (view + alpha * (glass - view)).clamp(0, 255), alpha > 0.5


def _fill(view: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
    """One exact colour beyond a sharp border, as viewers and scanners fill what was not scanned: black above all."""
    upright = rng.random() < 0.8
    covered = torch.zeros(view.shape[1:], dtype=torch.bool, device=view.device)
    for _ in range(rng.integers(1, 3)):
        field = _ramp(view, rng, quarter_turns=upright)
        covered |= field > torch.quantile(field, rng.uniform(0.4, 0.9))
    value = 0.0 if rng.random() < 0.6 else rng.choice((255.0, rng.uniform(190, 250)))
    return torch.where(covered, torch.full_like(view, float(value)), view), covered


def _pen(view: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
    """A stroke of felt pen: ink that lets some tissue through, or none."""
    field = _smooth(view, rng, 3)
    hard = (field.abs() < rng.uniform(0.1, 0.5)).float()
    alpha = _softened(hard, rng.uniform(0.7, 3.0)) * rng.uniform(0.6, 1.0)
    ink = _colour(view, np.array(_PENS[rng.integers(len(_PENS))]) + rng.uniform(-15, 15, 3))
    through = ink / 255 * view if rng.random() < 0.5 else ink
    return (view + alpha * (through - view)).clamp(0, 255), alpha > 0.5


def _fold(view: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
    """A band in which the tissue lies twice: its optical density grows; nuclei remain what they are."""
    hard = (_smooth(view, rng, 2).abs() < rng.uniform(0.1, 0.4)).float()
    alpha = _softened(hard, rng.uniform(1.0, 4.0)) * rng.uniform(0.3, 1.0)
    thicker = torch.exp(torch.log((view + 1) / 256) * (1 + alpha)) * 256 - 1
    return thicker.clamp(0, 255), torch.zeros_like(hard, dtype=torch.bool)


def _dust(view: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
    """A few dark or coloured specks, sharp or out of focus."""
    side = view.shape[-1]
    steps = torch.arange(side, dtype=view.dtype, device=view.device)
    alpha = torch.zeros(view.shape[1:], dtype=view.dtype, device=view.device)
    for _ in range(rng.integers(1, 6)):
        x, y = rng.uniform(0, side, 2)
        radius, squeeze, edge = rng.uniform(1.5, 9), rng.uniform(0.5, 1.5), rng.uniform(0.5, 2)
        distance = torch.hypot((steps - x)[None, :] * squeeze, (steps - y)[:, None])
        alpha = torch.maximum(alpha, torch.sigmoid((radius - distance) / edge))
    colour = _colour(view, rng.uniform(10, 120) + rng.uniform(-20, 20, 3))
    return (view + alpha * rng.uniform(0.6, 1.0) * (colour - view)).clamp(0, 255), alpha > 0.5


def _smooth(view: Tensor, rng: Rng, knots: int) -> Tensor:
    """A smooth random field of deviation about 1, (S, S)."""
    coarse = torch.tensor(
        rng.normal(0, 1, (1, 1, knots + 1, knots + 1)), dtype=view.dtype, device=view.device
    )
    return F.interpolate(coarse, size=view.shape[1:], mode="bicubic", align_corners=True)[0, 0]


def _ramp(view: Tensor, rng: Rng, *, quarter_turns: bool = False) -> Tensor:
    """A plane that rises in a random direction, (S, S)."""
    angle = rng.integers(4) * np.pi / 2 if quarter_turns else rng.uniform(0, 2 * np.pi)
    steps = torch.linspace(-1, 1, view.shape[-1], dtype=view.dtype, device=view.device)
    return float(np.cos(angle)) * steps[None, :] + float(np.sin(angle)) * steps[:, None]


def _softened(mask: Tensor, sigma: float) -> Tensor:
    """A mask (S, S) blurred by a Gaussian of `sigma` px."""
    return gaussian_blur(mask[None, None], torch.tensor([sigma], device=mask.device))[0, 0]


def gaussian_blur(planes: Tensor, sigmas: Tensor) -> Tensor:
    """Each of (N, C, S, S) blurred by a Gaussian of its own `sigmas` (N,), in px."""
    count, channels = planes.shape[:2]
    radius = max(1, int(np.ceil(3 * float(sigmas.max()))))
    steps = torch.arange(-radius, radius + 1, dtype=planes.dtype, device=planes.device)
    kernels = torch.exp(-0.5 * (steps / sigmas.to(planes)[:, None]) ** 2)
    kernels = (kernels / kernels.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    flat = F.pad(planes.reshape(1, count * channels, *planes.shape[2:]), (radius,) * 4, mode="reflect")
    flat = F.conv2d(flat, kernels[:, None, :, None], groups=count * channels)
    flat = F.conv2d(flat, kernels[:, None, None, :], groups=count * channels)
    return flat.reshape(planes.shape)


def _colour(view: Tensor, rgb: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Tensor:
    """A colour (3, 1, 1) where `view` is."""
    return torch.tensor(np.clip(rgb, 0, 255), dtype=view.dtype, device=view.device)[:, None, None]
