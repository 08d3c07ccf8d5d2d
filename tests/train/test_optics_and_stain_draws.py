"""What optics, stains and covers draw: as often as asked, over the stated ranges, by the stated formulas."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.train.test_augmentation import STILL, draws
from wsi_nucssl.train.augment import optics, separable
from wsi_nucssl.train.augment import scene as scenery
from wsi_nucssl.train.augment.draws import Draws
from wsi_nucssl.train.augment.stain import Palette, standard_vectors
from wsi_nucssl.train.recipe import Augmentation

MANY = 300


def noise(count: int, side: int = 32) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)) * 200 + 20


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("coarse_p", optics.coarsen),
        ("blur_p", optics.blur),
        ("sharpen_p", optics.sharpen),
        ("noise_p", optics.expose),
        ("jpeg_p", optics.expose),
        ("box_p", optics.halve),
    ],
)
def test_each_step_is_taken_as_often_as_asked_for(
    name: str, step: Callable[[Tensor, Augmentation, Draws], Tensor]
) -> None:
    view = noise(MANY).round()
    plain = step(view, STILL, draws(*range(MANY)))
    for probability in (0.2, 0.7):
        settings = STILL.model_copy(update={name: probability})
        changed = step(view, settings, draws(*range(MANY))) != plain
        touched = float(changed.flatten(1).any(dim=1).float().mean())
        assert abs(touched - probability) < 4 * (probability * (1 - probability) / MANY) ** 0.5


def test_coarse_views_are_averaged_to_between_a_half_and_five_sixths() -> None:
    view = noise(6, 64)
    found = optics.coarsen(view, STILL.model_copy(update={"coarse_p": 1.0}), draws(*range(6)))
    sides = np.rint(64 / draws(*range(6)).uniform(1.2, 2.0)).astype(int)
    assert len(set(sides.tolist())) > 3
    for number, side in enumerate(sides.tolist()):
        matrix = separable.coarsenings(torch.tensor([side]), 64, 53)
        torch.testing.assert_close(found[number], separable.apply(matrix, view[number : number + 1])[0])


def test_blur_is_of_up_to_a_px_and_a_half() -> None:
    view = torch.zeros(6, 3, 33, 33)
    view[:, :, 16, 16] = 1
    found = optics.blur(view, STILL.model_copy(update={"blur_p": 1.0}), draws(*range(6)))
    sigmas = draws(*range(6)).uniform(0.3, 1.5)
    steps = np.arange(33) - 16
    for each, sigma in zip(found.numpy(), sigmas, strict=True):
        line = np.exp(-0.5 * (steps / sigma) ** 2) * (np.abs(steps) <= 5)
        np.testing.assert_allclose(each[1], np.outer(line, line) / line.sum() ** 2, atol=1e-5)


def test_jpegs_table_is_that_of_other_encoders() -> None:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG", quality=50)  # at which a table is used as it stands
    (table,) = Image.open(file).quantization.values()  # type: ignore[attr-defined]
    assert [*table] == [each for row in optics._QUANTISATION for each in row]


def test_jpeg_is_of_the_quality_that_was_drawn() -> None:
    view = noise(4).round()
    found = optics.expose(view, STILL.model_copy(update={"jpeg_p": 1.0}), draws(*range(4)))
    numbers = draws(*range(4))
    numbers.uniform(1, 8)
    quality = numbers.uniform(50, 95)
    expected = optics.jpeg(view, torch.tensor(quality, dtype=torch.float32)).round()
    assert torch.equal(found.float(), expected)


def restained(
    settings: Augmentation, pixel: tuple[float, float, float], seed: int
) -> tuple[Tensor, list[float]]:
    """A pixel restained, and the same by the formula: amounts · gain + shift in the image's own stains, times light."""
    own = standard_vectors()
    view = torch.tensor(pixel).view(1, 3, 1, 1)
    found = Palette((own,)).restain(view, [own], settings, draws(seed))[0, :, 0, 0]
    numbers = draws(seed)
    gain = 1 + numbers.uniform(-settings.stain, settings.stain, 3)[0]
    shift = numbers.uniform(-settings.stain_shift, settings.stain_shift, 3)[0]
    light = 1 + numbers.uniform(-settings.brightness, settings.brightness)[0]
    density = [-np.log((value + 1) / 256) for value in pixel]
    amounts = np.linalg.solve(own.T, density)
    expected = []
    for channel in range(3):
        total = sum((amounts[s] * gain[s] + shift[s]) * own[s, channel] for s in range(3))
        expected.append(float(np.clip(light * 256 * np.exp(-total) - 1, 0, 255)))
    return found, expected


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "changes",
    [
        {"stain": 0.4},
        {"stain_shift": 0.2},
        {"brightness": 0.2},
        {"stain": 0.3, "stain_shift": 0.1, "brightness": 0.1},
    ],
)
def test_stains_vary_by_the_formula(changes: dict[str, float], seed: int) -> None:
    settings = STILL.model_copy(update=changes)
    found, expected = restained(settings, (120.0, 70.0, 150.0), seed)
    assert found.tolist() == pytest.approx(expected, abs=0.05)
    assert found.tolist() != pytest.approx((120, 70, 150), abs=0.05)


def covers(name: str, view: Tensor, count: int = 120) -> tuple[Tensor, Tensor]:
    settings = STILL.model_copy(update={name: 1.0})
    labels = torch.ones(count, *view.shape[2:], dtype=torch.long)
    covered, visible = scenery.cover(view, labels, settings, draws(*range(count)))
    return covered, visible == 0


def test_fill_is_black_white_or_grey() -> None:
    view = noise(120, 48)
    covered, gone = covers("fill_p", view)
    values = [float(image[0][there][0]) for image, there in zip(covered, gone, strict=True)]
    black, white = (float(np.mean([value == each for value in values])) for each in (0, 255))
    assert abs(black - 0.6) < 0.18
    assert abs(white - 0.2) < 0.15
    assert all(value in (0, 255) or 190 <= value <= 250 for value in values)
    assert len(set(values)) > 10


def test_fill_has_one_or_two_straight_borders() -> None:
    """One half-plane is convex; two of them together hardly ever are."""
    _, gone = covers("fill_p", noise(120, 48))
    hollow = 0
    for there in gone.numpy().astype(np.uint8):
        hull = np.zeros_like(there)
        cv2.fillConvexPoly(hull, cv2.convexHull(cv2.findNonZero(there)), 1)
        hollow += int(hull.sum() > 1.08 * there.sum())
    assert 0.25 < hollow / 120 < 0.65


def test_glass_is_grainy_and_nearly_white() -> None:
    covered, gone = covers("glass_p", noise(120, 48))
    deep = [
        cv2.erode(there.numpy().astype(np.uint8), np.ones((9, 9), np.uint8), borderValue=1).astype(bool)
        for there in gone
    ]
    grain = []
    for image, inside in zip(covered.numpy(), deep, strict=True):
        if inside.sum() < 60:
            continue
        assert image[:, inside].mean() > 210
        rough = image[0] - cv2.blur(image[0], (3, 3))
        grain.append(float(rough[inside].std()))
    assert len(grain) > 60
    assert 0.5 < np.median(grain) < 3
    assert max(grain) > 1.5 * min(grain)


def test_half_of_the_ink_lets_the_tissue_through() -> None:
    """Deep in a stroke, what is seen is linear in what was there; ink that multiplies it adds nothing of its own."""
    view = noise(120, 96)
    covered, gone = covers("pen_p", view)
    added = []
    for before, after, there in zip(view.numpy(), covered.numpy(), gone.numpy(), strict=True):
        inside = cv2.erode(there.astype(np.uint8), np.ones((17, 17), np.uint8), borderValue=1).astype(bool)
        if inside.sum() > 40:
            added.append(max(np.polyfit(before[c][inside], after[c][inside], 1)[1] for c in range(3)))
    assert len(added) > 30
    assert 0.3 < np.mean(np.array(added) < 2) < 0.7


def test_dust_is_one_to_five_specks() -> None:
    _, gone = covers("dust_p", noise(120, 96))
    counts = [cv2.connectedComponents(there.numpy().astype(np.uint8))[0] - 1 for there in gone]
    assert max(counts) in (4, 5)
    assert 1 in counts
    assert len(set(counts)) >= 4


def test_a_branch_draws_what_its_parent_does_not() -> None:
    whole = Draws.of_crops(3, [7, 8])
    branch = whole.branch(np.array([1]))
    assert not np.isin(branch.random(50), Draws.of_crops(3, [8]).random(200)).any()
