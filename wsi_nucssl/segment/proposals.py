"""Which parts of a slide are worth annotating: those that the model is unsure of, and that are unlike one another.

Uncertainty is the mean entropy of the foreground (Settles, 2009, Active Learning Literature Survey, §3.1); unlikeness
is by farthest points (Sener and Savarese, 2018, https://arxiv.org/abs/1708.00489), in a space of colour, texture and
crowding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.geometry import Box
from wsi_nucssl.nuclei.settings import Probabilities
from wsi_nucssl.slide import RGB, TissueMask
from wsi_nucssl.slide.canvas import Canvas

_LEAST_TISSUE: Final = 0.5
_CANDIDATES: Final = 8
"""Looked at for each tile that is wanted."""
_MAYBE: Final = 0.02
"""P(nucleus) below which nobody would ask whether a px is one."""
_EASY: Final = 0.5
"""What the least uncertain tile's distance counts, beside 1 for that of the most uncertain one."""

Predict = Callable[[Box, RGB], Probabilities]
"""The planes of a tile and its picture."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A tile to annotate.

    Attributes
    ----------
    box : Box
        In px of the canvas.
    uncertainty : float
        Mean entropy, in bits, of the px that might be of a nucleus.
    """

    box: Box
    uncertainty: float


def candidates(canvas: Canvas, tissue: TissueMask, side: int, count: int, seed: int) -> list[Box]:
    """Tiles of `side` px on a grid, at least half tissue; where there are many, eight times `count` by the seed."""
    rows, cols = canvas.box.height // side, canvas.box.width // side
    boxes = [
        Box(x * side, y * side, (x + 1) * side, (y + 1) * side) for y in range(rows) for x in range(cols)
    ]
    there = [box for box in boxes if tissue.coverage(canvas.to_level0(box)) >= _LEAST_TISSUE]
    if len(there) <= _CANDIDATES * count:
        return there
    drawn = np.random.default_rng(seed).choice(len(there), _CANDIDATES * count, replace=False)
    return [there[index] for index in sorted(drawn.tolist())]


def proposals(canvas: Canvas, boxes: Sequence[Box], predict: Predict, count: int) -> list[Proposal]:
    """The `count` tiles to annotate, the most telling first."""
    seen = [_looked_at(canvas, box, predict) for box in boxes]
    features = np.array([each for _, each in seen])
    uncertainties = np.array([proposal.uncertainty for proposal, _ in seen])
    return [seen[index][0] for index in spread(features, uncertainties, count)]


def spread(features: NDArray[np.float64], uncertainties: NDArray[np.float64], count: int) -> list[int]:
    """Rows of `features` (n, k): the most uncertain first, then each time the farthest from all chosen before.

    Features are brought to one scale. Distances count by rank of uncertainty (n,), from half to whole.
    """
    scale = features.std(axis=0)
    points = (features - features.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    ranks = uncertainties.argsort(kind="stable").argsort(kind="stable") / max(1, len(uncertainties) - 1)
    weights = _EASY + (1 - _EASY) * ranks
    chosen: list[int] = []
    nearest = np.full(len(points), np.inf)
    while len(chosen) < min(count, len(points)):
        worth = np.where(np.isinf(nearest), 1.0, nearest) * weights
        worth[chosen] = -1.0
        chosen.append(int(worth.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


def _looked_at(canvas: Canvas, box: Box, predict: Predict) -> tuple[Proposal, list[float]]:
    image = canvas.read(box)
    nucleus = predict(box, image)[:2].astype(np.float64).sum(axis=0) / 255
    uncertainty = _entropy(nucleus)
    density = -np.log((image.astype(np.float64) + 1) / 256)
    colours, textures = density.mean(axis=(0, 1)), density.std(axis=(0, 1))
    return Proposal(box, uncertainty), [
        *colours,
        *textures,
        float((nucleus >= 0.5).mean()),
        uncertainty,
    ]


def _entropy(nucleus: NDArray[np.float64]) -> float:
    """Mean of the px that might be of a nucleus; 0 where there is none."""
    asked = np.clip(nucleus[nucleus >= _MAYBE], 1e-6, 1 - 1e-6)
    if not asked.size:
        return 0.0
    return float(-(asked * np.log2(asked) + (1 - asked) * np.log2(1 - asked)).mean())
