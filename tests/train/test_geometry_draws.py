"""Crops against the mapping written out, and the ranges that rotation, mirror, zoom, shear and place are drawn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.train.test_augmentation import STILL
from wsi_nucssl.train.augment import geometry
from wsi_nucssl.train.augment.draws import Draws
from wsi_nucssl.train.recipe import Augmentation

SIZE, IMAGE = 64, 256
MANY = 2000


def drawn(settings: Augmentation, count: int = MANY) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    shapes = np.tile(np.array([[IMAGE, IMAGE]]), (count, 1))
    return geometry._draw(shapes, SIZE, settings, Draws.of_crops(0, range(count)))


def test_half_of_the_crops_are_mirrored_and_every_angle_comes_up() -> None:
    matrices, _ = drawn(STILL)
    np.testing.assert_allclose(np.abs(np.linalg.det(matrices)), 1)
    mirrored = np.linalg.det(matrices) < 0
    assert abs(mirrored.mean() - 0.5) < 0.05
    angles = np.arctan2(matrices[:, 1, 1], matrices[:, 0, 1])  # of the axis that is never mirrored
    counts = np.histogram(angles, 8, (-np.pi, np.pi))[0]
    assert counts.min() > 0.8 * MANY / 8


@pytest.mark.parametrize("scale", [0.25, 0.6])
def test_the_zoom_is_log_uniform_to_both_sides(scale: float) -> None:
    matrices, _ = drawn(STILL.model_copy(update={"scale": scale}))
    logs = -np.log(np.abs(np.linalg.det(matrices))) / 2
    widest = np.log1p(scale)
    assert np.abs(logs).max() <= widest + 1e-9
    assert abs(logs.mean()) < 0.05 * widest
    assert logs.std() == pytest.approx(widest / np.sqrt(3), rel=0.05)
    assert logs.min() < -0.98 * widest
    assert logs.max() > 0.98 * widest


def test_each_axis_is_sheared_by_itself() -> None:
    matrices, _ = drawn(STILL.model_copy(update={"shear": 0.2}))
    skew = (matrices.transpose(0, 2, 1) @ matrices)[:, 0, 1]  # (s₀₁ + s₁₀) of the mapping, up to its mirror
    assert np.abs(skew).max() <= 0.4
    assert skew.std() == pytest.approx(0.2 * np.sqrt(2 / 3), rel=0.05)


def test_views_lie_anywhere_that_they_fit() -> None:
    _, centres = drawn(STILL)
    assert centres.min() >= SIZE / 2
    assert centres.max() <= IMAGE - SIZE / 2
    for axis in (0, 1):
        assert centres[:, axis].std() == pytest.approx((IMAGE - SIZE) / np.sqrt(12), rel=0.05)


def ramp(draws: Draws, settings: Augmentation) -> NDArray[np.float32]:
    """A crop of the image whose first two planes are x and y."""
    rows, cols = np.mgrid[:IMAGE, :IMAGE]
    planes = torch.from_numpy(np.stack([cols, rows]).astype(np.uint8))
    view, _ = geometry.crop([planes], [torch.zeros(IMAGE, IMAGE, dtype=torch.int32)], SIZE, settings, draws)
    found: NDArray[np.float32] = view[0].numpy()
    return found


@pytest.mark.parametrize("seed", range(4))
def test_each_px_comes_from_where_the_mapping_says(seed: int) -> None:
    settings = STILL.model_copy(update={"scale": 0.2, "shear": 0.1})
    shapes = np.array([[IMAGE, IMAGE]])
    (matrix,), (centre,) = geometry._draw(shapes, SIZE, settings, Draws.of_crops(0, [seed]))
    found = ramp(Draws.of_crops(0, [seed]), settings)
    for row in range(0, SIZE, 9):
        for col in range(0, SIZE, 9):
            x, y = centre + matrix @ (col - (SIZE - 1) / 2, row - (SIZE - 1) / 2)
            if min(x, y) >= 0 and max(x, y) <= IMAGE - 1:
                assert found[:, row, col] == pytest.approx((x, y), abs=0.01)


def test_elastic_displacements_have_the_deviation_asked_for() -> None:
    still = STILL.model_copy(update={"elastic_px": 0.0})
    bent = STILL.model_copy(update={"elastic_px": 4.0})
    moved = []
    for seed in range(24):
        before, after = (ramp(Draws.of_crops(0, [seed]), settings) for settings in (still, bent))
        inside = ((before > 16) & (before < IMAGE - 17)).all(axis=0)
        moved.append((after - before)[:, inside].ravel())
    deviation = np.concatenate(moved).std()
    assert 2 < deviation < 5  # of cubic interpolation between knots of deviation 4
