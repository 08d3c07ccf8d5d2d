"""What lies on slides beside tissue: glass, fill outside the scan, pen, folds, dust. Nothing under them is a nucleus.

Each step changes the views that its probability draws. A nucleus that is covered leaves the labels; of one that is cut,
what is visible stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsi_nucssl.train.augment.draws import Draws, Floats, to_device, white_noise
from wsi_nucssl.train.augment.separable import apply, cubic_table, gaussians

if TYPE_CHECKING:
    from wsi_nucssl.train.recipe import Augmentation

_PENS: Final = np.array(((20, 20, 25), (30, 50, 160), (20, 110, 60), (170, 30, 40)), np.float64)
_KNOTS: Final = 6
"""Most knots of a smooth field along an axis."""
_THINNED: Final = 4
"""A quantile of a field, which is smooth, is that of every so many px."""

Covered = tuple[Tensor, Tensor | None]
"""Views with something on them, and where nothing can be seen through it: bool (N, S, S), None for nowhere."""
Step = Callable[[Tensor, Draws], Covered]


def cover(view: Tensor, labels: Tensor, settings: Augmentation, draws: Draws) -> tuple[Tensor, Tensor]:
    """Views (N, 3, S, S) in 0 … 255 and labels (N, S, S) with what may lie on a slide."""
    view, labels = view.clone(), labels.clone()
    steps: tuple[tuple[float, Step], ...] = (
        (settings.fold_p, _fold),
        (settings.glass_p, _glass),
        (settings.dust_p, _dust),
        (settings.pen_p, _pen),
        (settings.fill_p, _fill),
    )
    for probability, step in steps:
        chosen = np.flatnonzero(draws.random() < probability)
        own = draws.branch(chosen)
        if not len(chosen):
            continue
        where = to_device(chosen, view.device)
        changed, covered = step(view.index_select(0, where), own)
        view.index_copy_(0, where, changed)
        if covered is not None:
            labels.index_copy_(0, where, labels.index_select(0, where).masked_fill_(covered, 0))
    return view, labels


def _glass(view: Tensor, draws: Draws) -> Covered:
    """Near-white glass along a smooth or a straight border, with a soft edge, uneven light and noise."""
    smooth = _numbers(view, (draws.random() < 0.6).astype(np.float64))
    field = torch.where(smooth > 0, _smooth(view, draws, draws.integers(2, 6)), _ramp(view, draws))
    hard = field > _quantile(field, draws.uniform(0.3, 0.9))
    alpha = _softened(hard, draws.uniform(0.5, 2.0), 2.0)
    level = draws.uniform(226, 252, 1) + draws.uniform(-5, 5, 3)
    noise = white_noise(view.shape, view.device, draws) * _numbers(view, draws.uniform(0.3, 3))
    glass = _colours(view, level) + 2 * _smooth(view, draws, np.full(len(draws), 2)) + noise
    return view.lerp(glass, alpha).clamp_(0, 255), (alpha > 0.5)[:, 0]


def _fill(view: Tensor, draws: Draws) -> Covered:
    """One exact colour beyond one or two sharp borders, as viewers and scanners fill what was not scanned."""
    upright = draws.random() < 0.8
    second = _numbers(view, (draws.random() < 0.5).astype(np.float64)) > 0
    first, other = (
        field > _quantile(field, draws.uniform(0.4, 0.9))
        for field in (_ramp(view, draws, upright), _ramp(view, draws, upright))
    )
    covered = first | (other & second)
    light = np.where(draws.random() < 0.5, 255.0, draws.uniform(190, 250))
    value = np.where(draws.random() < 0.6, 0.0, light)
    return torch.where(covered, _numbers(view, value), view), covered[:, 0]


def _pen(view: Tensor, draws: Draws) -> Covered:
    """A stroke of felt pen: ink that lets some tissue through, or none."""
    field = _smooth(view, draws, np.full(len(draws), 3))
    hard = field.abs() < _numbers(view, draws.uniform(0.1, 0.5))
    alpha = _softened(hard, draws.uniform(0.7, 3.0), 3.0) * _numbers(view, draws.uniform(0.6, 1.0))
    ink = _colours(view, _PENS[draws.integers(0, len(_PENS))] + draws.uniform(-15, 15, 3))
    thin = _numbers(view, (draws.random() < 0.5).astype(np.float64)) > 0
    through = torch.where(thin, ink / 255 * view, ink)
    return view.lerp(through, alpha).clamp_(0, 255), (alpha > 0.5)[:, 0]


def _fold(view: Tensor, draws: Draws) -> Covered:
    """A band in which the tissue lies twice: its optical density grows; nuclei remain what they are."""
    field = _smooth(view, draws, np.full(len(draws), 2))
    hard = field.abs() < _numbers(view, draws.uniform(0.1, 0.4))
    alpha = _softened(hard, draws.uniform(1.0, 4.0), 4.0) * _numbers(view, draws.uniform(0.3, 1.0))
    thicker = torch.exp(torch.log((view + 1) / 256) * (1 + alpha)) * 256 - 1
    return thicker.clamp_(0, 255), None


def _dust(view: Tensor, draws: Draws) -> Covered:
    """One to five dark or coloured specks, sharp or out of focus."""
    side = view.shape[-1]
    most = 5
    there = np.arange(most) < draws.integers(1, most + 1, 1)
    x, y = (_numbers(view, draws.uniform(0, side, most)) for _ in range(2))
    radius = _numbers(view, np.where(there, draws.uniform(1.5, 9, most), -1e6))
    squeeze, edge = _numbers(view, draws.uniform(0.5, 1.5, most)), _numbers(view, draws.uniform(0.5, 2, most))
    steps = torch.arange(side, dtype=view.dtype, device=view.device)
    distance = torch.hypot((steps - x) * squeeze, steps[:, None] - y)
    alpha = torch.sigmoid((radius - distance) / edge).amax(dim=1, keepdim=True)
    colour = _colours(view, draws.uniform(10, 120, 1) + draws.uniform(-20, 20, 3))
    opacity = _numbers(view, draws.uniform(0.6, 1.0))
    return view.lerp(colour, alpha * opacity).clamp_(0, 255), (alpha > 0.5)[:, 0]


def _smooth(view: Tensor, draws: Draws, cells: NDArray[np.int64]) -> Tensor:
    """Smooth random fields of deviation about 1, of 1 … 5 `cells` (N,) along an axis: (N, 1, S, S)."""
    tables = cubic_table(_KNOTS, view.shape[-1], view.device)
    knots = to_device(draws.normal(1, _KNOTS, _KNOTS), view.device)
    return apply(tables.index_select(0, to_device(cells - 1, view.device)), knots)


def _ramp(view: Tensor, draws: Draws, upright: NDArray[np.bool_] | None = None) -> Tensor:
    """Planes that rise in a random direction, along an axis where `upright`: (N, 1, S, S)."""
    angle, quarter = draws.uniform(0, 2 * np.pi), draws.integers(0, 4) * (np.pi / 2)
    angle = angle if upright is None else np.where(upright, quarter, angle)
    steps = torch.linspace(-1, 1, view.shape[-1], dtype=view.dtype, device=view.device)
    return _numbers(view, np.cos(angle)) * steps + _numbers(view, np.sin(angle)) * steps[:, None]


def _quantile(fields: Tensor, fractions: Floats) -> Tensor:
    """The value that a fraction (N,) of each smooth field (N, 1, S, S) lies below: (N, 1, 1, 1)."""
    values = fields[:, :, ::_THINNED, ::_THINNED].flatten(1).sort(dim=1).values
    places = np.rint(fractions * (values.shape[1] - 1)).astype(np.int64)
    return values.gather(1, to_device(places, fields.device)[:, None])[:, :, None, None]


def _softened(masks: Tensor, sigmas: Floats, largest: float) -> Tensor:
    """Masks (N, 1, S, S), each blurred by a Gaussian of its own `sigmas` (N,) px, none above `largest`."""
    return apply(gaussians(to_device(sigmas, masks.device), masks.shape[-1], largest), masks.float())


def _numbers(view: Tensor, values: Floats) -> Tensor:
    """Numbers (N,) or (N, k) where `view` is, to be combined with (N, k or 1, S, S)."""
    return to_device(values.reshape(len(values), -1), view.device)[:, :, None, None]


def _colours(view: Tensor, rgb: Floats) -> Tensor:
    """Colours (N, 3, 1, 1) where `view` is."""
    return _numbers(view, np.clip(rgb, 0, 255))
