"""Each thing that may lie on a slide, written out for one view by other blurs and sorted quantiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tests.train.test_augmentation import STILL, draws
from wsi_nucssl.train.augment import scene as scenery
from wsi_nucssl.train.augment.draws import Draws

Image = NDArray[np.float64]
SIDE = 48
FROM_BELOW = ("fold_p", "glass_p", "dust_p", "pen_p", "fill_p")
"""What lies on what: a later one covers those before it."""
PENS = ((20, 20, 25), (30, 50, 160), (20, 110, 60), (170, 30, 40))
ROWS, COLS = np.mgrid[:SIDE, :SIDE].astype(float)


def one(values: NDArray[np.float64] | NDArray[np.int64]) -> float:
    """The number that the one crop of a stream drew."""
    return float(values.item())


def smooth(own: Draws, knots: int) -> Image:
    """Normal numbers on a grid whose outer knots lie on the edges, interpolated between."""
    grid = torch.from_numpy(own.normal(1, 6, 6)[:, :, :knots, :knots].copy())
    field: Image = F.interpolate(grid, (SIDE, SIDE), mode="bicubic", align_corners=True)[0, 0].numpy()
    return field


def ramp(own: Draws, upright: bool = False) -> Image:
    """A plane that rises along an angle; along an axis if upright."""
    angle, quarter = one(own.uniform(0, 2 * np.pi)), int(one(own.integers(0, 4)))
    x, y = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter] if upright else (np.cos(angle), np.sin(angle))
    centre = (SIDE - 1) / 2
    plane: Image = (x * (COLS - centre) + y * (ROWS - centre)) / centre
    return plane


def above(field: Image, fraction: float) -> NDArray[np.bool_]:
    """Where a field is above what that fraction of every fourth px of every fourth row is at most."""
    few = sorted(float(field[row, col]) for row in range(0, SIDE, 4) for col in range(0, SIDE, 4))
    return field > few[round(fraction * (len(few) - 1))] + 1e-6


def soft(mask: NDArray[np.bool_], sigma: float, widest: float) -> Image:
    blurred: Image = gaussian_filter(mask.astype(float), sigma, mode="mirror", radius=int(3 * widest))
    return blurred


def mixed(view: Image, over: Image, alpha: Image) -> Image:
    result: Image = np.clip(view * (1 - alpha) + over * alpha, 0, 255)
    return result


def folded(view: Image, own: Draws) -> tuple[Image, NDArray[np.bool_]]:
    """Up to a tenth to four tenths of a deviation to both sides of zero, tissue is up to twice as dense."""
    band = np.abs(smooth(own, 3)) < one(own.uniform(0.1, 0.4))
    alpha = soft(band, one(own.uniform(1, 4)), 4) * one(own.uniform(0.3, 1))
    density = -np.log((view + 1) / 256)
    return np.clip(256 * np.exp(-density * (1 + alpha)) - 1, 0, 255), np.zeros((SIDE, SIDE), bool)


def glassed(view: Image, own: Draws) -> tuple[Image, NDArray[np.bool_]]:
    """Six of ten times along a smooth border, else a straight one; a tenth to seven tenths of the view."""
    curved = one(own.random()) < 0.6
    cells = int(one(own.integers(2, 6)))
    fields = smooth(own, cells + 1), ramp(own)
    hard = above(fields[0] if curved else fields[1], one(own.uniform(0.3, 0.9)))
    alpha = soft(hard, one(own.uniform(0.5, 2)), 2)
    level = own.uniform(226, 252, 1)[0] + own.uniform(-5, 5, 3)[0]
    generator = torch.Generator().manual_seed(own.seed())
    grain = torch.randn(1, 3, SIDE, SIDE, generator=generator)[0].numpy() * one(own.uniform(0.3, 3))
    glass = np.minimum(level, 255)[:, None, None] + 2 * smooth(own, 3) + grain
    return mixed(view, glass, alpha), alpha > 0.5


def dusted(view: Image, own: Draws) -> tuple[Image, NDArray[np.bool_]]:
    """One to five specks, each an ellipse whose opacity falls off as a sigmoid of the distance to its rim."""
    count = int(one(own.integers(1, 6, 1)))
    xs, ys, radii = (own.uniform(*limits, 5)[0] for limits in ((0, SIDE), (0, SIDE), (1.5, 9)))
    squeezes, edges = own.uniform(0.5, 1.5, 5)[0], own.uniform(0.5, 2, 5)[0]
    alpha = np.zeros((SIDE, SIDE))
    for x, y, radius, squeeze, edge in list(zip(xs, ys, radii, squeezes, edges, strict=True))[:count]:
        distance = np.sqrt(((COLS - x) * squeeze) ** 2 + (ROWS - y) ** 2)
        alpha = np.maximum(alpha, 1 / (1 + np.exp(np.clip((distance - radius) / edge, -50, 50))))
    colour = np.clip(own.uniform(10, 120, 1)[0] + own.uniform(-20, 20, 3)[0], 0, 255)
    opacity = one(own.uniform(0.6, 1))
    return mixed(view, colour[:, None, None] + 0 * view, alpha * opacity), alpha > 0.5


def inked(view: Image, own: Draws) -> tuple[Image, NDArray[np.bool_]]:
    """A stroke a tenth to half a deviation wide to both sides; every other ink lets tissue through."""
    stroke = np.abs(smooth(own, 4)) < one(own.uniform(0.1, 0.5))
    alpha = soft(stroke, one(own.uniform(0.7, 3)), 3) * one(own.uniform(0.6, 1))
    colour = np.clip(PENS[int(one(own.integers(0, 4)))] + own.uniform(-15, 15, 3)[0], 0, 255)[:, None, None]
    through = one(own.random()) < 0.5
    return mixed(view, colour / 255 * view if through else colour + 0 * view, alpha), alpha > 0.5


def filled(view: Image, own: Draws) -> tuple[Image, NDArray[np.bool_]]:
    """Black six of ten times, else white or grey, beyond one border or two that are mostly upright."""
    upright, two = one(own.random()) < 0.8, one(own.random()) < 0.5
    ramps = [ramp(own, upright), ramp(own, upright)]
    first, other = (above(each, one(own.uniform(0.4, 0.9))) for each in ramps)
    hidden = first | (other & two)
    white, grey, black = one(own.random()) < 0.5, one(own.uniform(190, 250)), one(own.random()) < 0.6
    return np.where(hidden, 0.0 if black else 255.0 if white else grey, view), hidden


Reference = Callable[[Image, Draws], tuple[Image, NDArray[np.bool_]]]
REFERENCES: dict[str, Reference] = {
    "fold_p": folded,
    "glass_p": glassed,
    "dust_p": dusted,
    "pen_p": inked,
    "fill_p": filled,
}


def streams(seed: int) -> dict[str, Draws]:
    """The stream of each thing on the crop of this seed: a number says whether it is there, then it branches."""
    crop = draws(seed)
    found = {}
    for name in FROM_BELOW:
        crop.random()
        found[name] = crop.branch(np.array([0]))
    return found


def colours(seed: int) -> torch.Tensor:
    """A view of one crop, all values of a byte in it."""
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 255


@pytest.mark.parametrize("name", FROM_BELOW)
def test_a_cover_is_what_is_written_out_and_takes_the_labels_under_it(name: str) -> None:
    labels = torch.arange(1, SIDE * SIDE + 1).reshape(1, SIDE, SIDE)
    for seed in range(16):
        view = colours(seed)
        found, visible = scenery.cover(view, labels, STILL.model_copy(update={name: 1.0}), draws(seed))
        expected, hidden = REFERENCES[name](view[0].double().numpy(), streams(seed)[name])
        off = np.abs(found[0].numpy() - expected).max(axis=0) > 0.05
        assert off.mean() < 0.003  # single px on which side of a border they lie is rounding's
        wrong = (visible[0] != torch.where(torch.from_numpy(hidden), 0, labels[0])).numpy()
        assert wrong.mean() < 0.003


def test_what_lies_higher_covers_what_lies_lower() -> None:
    everything = STILL.model_copy(update=dict.fromkeys(FROM_BELOW, 1.0))
    labels = torch.ones(1, SIDE, SIDE, dtype=torch.long)
    for seed in range(6):
        view = colours(seed)
        found, visible = scenery.cover(view, labels, everything, draws(seed))
        expected, hidden = view[0].double().numpy(), np.zeros((SIDE, SIDE), bool)
        for name in FROM_BELOW:
            expected, more = REFERENCES[name](expected, streams(seed)[name])
            hidden |= more
        assert (np.abs(found[0].numpy() - expected).max(axis=0) > 0.1).mean() < 0.01
        assert ((visible[0] == 0).numpy() != hidden).mean() < 0.01


def test_crops_of_one_batch_are_covered_each_by_its_own() -> None:
    """Whatever lies on a crop is the same beside other crops, but for the grain of glass."""
    view = torch.cat([colours(seed) for seed in range(12)])
    labels = torch.ones(12, SIDE, SIDE, dtype=torch.long)
    settings = STILL.model_copy(update=dict.fromkeys(("fold_p", "dust_p", "pen_p", "fill_p"), 0.5))
    together, visible = scenery.cover(view, labels, settings, draws(*range(12)))
    for seed in range(12):
        alone, left = scenery.cover(view[seed : seed + 1], labels[:1], settings, draws(seed))
        torch.testing.assert_close(together[seed], alone[0], rtol=0, atol=1e-2)
        assert torch.equal(visible[seed], left[0])


def test_covering_leaves_what_it_was_given_as_it_was() -> None:
    view, labels = colours(0), torch.ones(1, SIDE, SIDE, dtype=torch.long)
    scenery.cover(view, labels, STILL.model_copy(update={"fill_p": 1.0, "glass_p": 1.0}), draws(3))
    assert torch.equal(view, colours(0))
    assert bool((labels == 1).all())
