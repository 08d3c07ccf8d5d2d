"""Crops against the mapping written out, and the ranges of rotation, mirror, zoom, shear and place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
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


def mirrored(place: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Coordinates whose picture goes on as its mirror image beyond its outer px."""
    turned = (place + 0.5) % (2 * length)
    folded: NDArray[np.float64] = np.minimum(turned, 2 * length - turned) - 0.5
    return folded


@pytest.mark.parametrize("elastic_px", [0.0, 3.0])
@pytest.mark.parametrize(("width", "height"), [(256, 180), (180, 256), (175, 175)])
def test_a_crop_is_the_mapping_written_out(width: int, height: int, elastic_px: float) -> None:
    """(x, y) = centre + matrix · (px − middle + displacement); bilinear of planes, the nearest of labels."""
    changes = {"scale": 0.3, "shear": 0.15, "elastic_px": elastic_px, "elastic_cell_px": 20}
    settings = STILL.model_copy(update=changes)
    rows, cols = np.mgrid[:height, :width]
    planes = np.stack([cols, rows, (cols * 7 + rows * 3) % 251]).astype(np.uint8)
    labels = (rows * width + cols).astype(np.int32)
    steps = np.arange(SIZE) - (SIZE - 1) / 2
    for seed in range(8):
        stream = Draws.of_crops(0, [seed])
        (matrix,), (centre,) = geometry._draw(np.array([[width, height]]), SIZE, settings, stream)
        knots = torch.from_numpy(elastic_px * stream.normal(2, 5, 5))  # 64 px hold 3 cells of 20; and two
        bent = F.interpolate(knots, (SIZE, SIZE), mode="bicubic", align_corners=False)[0].numpy()
        plain = np.stack(np.meshgrid(steps, steps)) + bent
        x, y = np.einsum("ij,jrc->irc", matrix, plain) + centre[:, None, None]
        x, y = mirrored(x, width), mirrored(y, height)
        view, marks = geometry.crop(
            [torch.from_numpy(planes)], [torch.from_numpy(labels)], SIZE, settings, Draws.of_crops(0, [seed])
        )
        left, top = np.floor(x).astype(int), np.floor(y).astype(int)
        expected = np.zeros((3, SIZE, SIZE))
        for down in (0, 1):
            for right in (0, 1):
                share = (1 - np.abs(x - left - right)) * (1 - np.abs(y - top - down))
                col, row = np.clip(left + right, 0, width - 1), np.clip(top + down, 0, height - 1)
                expected += share * planes[:, row, col]
        assert (np.abs(view[0].numpy() - expected).max(axis=0) > 0.5).mean() < 0.002
        nearest = np.rint(y).clip(0, height - 1) * width + np.rint(x).clip(0, width - 1)
        assert (marks[0].numpy() != nearest).mean() < 0.01  # of two as near, either


def test_crops_of_one_batch_come_each_from_its_own_image() -> None:
    settings = STILL.model_copy(update={"scale": 0.2, "elastic_px": 2.0})
    rows, cols = np.mgrid[:200, :160]
    images = [
        torch.from_numpy(np.stack([cols, rows]).astype(np.uint8)),
        torch.full((2, 150, 190), 77, dtype=torch.uint8),
    ]
    labels = [
        torch.from_numpy((rows * 160 + cols).astype(np.int32)),
        torch.full((150, 190), 5, dtype=torch.int32),
    ]
    together, marks = geometry.crop(images, labels, SIZE, settings, Draws.of_crops(0, [3, 4]))
    for place in (0, 1):
        alone, own = geometry.crop(
            images[place : place + 1],
            labels[place : place + 1],
            SIZE,
            settings,
            Draws.of_crops(0, [3 + place]),
        )
        torch.testing.assert_close(together[place], alone[0], rtol=0, atol=1e-2)
        assert (marks[place] != own[0]).float().mean() < 0.002


@pytest.mark.parametrize(
    ("size", "changes", "side"),
    [
        (64, {}, 92),  # 64 √2 = 90.5: at 45° the corners lie furthest out
        (
            64,
            {"scale": 0.25, "shear": 0.1, "elastic_px": 4.0},
            150,
        ),  # 62.2 to the corner, and three deviations
        (64, {"elastic_px": 1.5}, 100),  # 45.3 + 4.5
        (100, {"scale": 0.2}, 170),  # 84.9
        (100, {"shear": 0.2}, 170),
    ],
)
def test_the_footprint_is_the_square_around_the_largest_view(
    size: int, changes: dict[str, float], side: int
) -> None:
    settings = STILL.model_copy(update=changes)
    assert geometry.footprint(size, settings) == side
    shapes = np.tile(np.array([[400, 400]]), (MANY, 1))
    matrices, _ = geometry._draw(shapes, size, settings, Draws.of_crops(0, range(MANY)))
    corners = matrices @ np.array([[-1, -1, 1, 1], [-1, 1, -1, 1]]) * size / 2
    assert np.abs(corners).max() + 3 * settings.elastic_px <= side / 2


def test_a_view_lies_where_it_fits_at_its_own_zoom_and_in_the_middle_where_it_does_not() -> None:
    settings = STILL.model_copy(update={"scale": 0.6})
    shapes = np.tile(np.array([[256, 71]]), (MANY, 1))
    matrices, centres = geometry._draw(shapes, SIZE, settings, Draws.of_crops(0, range(MANY)))
    reach = SIZE / 2 * np.sqrt(np.abs(np.linalg.det(matrices)))  # half a side in px of the image
    places = (centres[:, 0] - reach) / (256 - 2 * reach)
    assert 0 <= places.min() < 0.01
    assert 0.99 < places.max() <= 1
    assert np.histogram(places, 8, (0, 1))[0].min() > 0.8 * MANY / 8
    large = reach >= 35.5
    assert large.any()
    np.testing.assert_allclose(centres[large, 1], 35.5)
    small = ~large
    places = (centres[small, 1] - reach[small]) / (71 - 2 * reach[small])
    assert -1e-9 <= places.min() < 0.02
    assert 0.98 < places.max() <= 1 + 1e-9
    assert abs(np.corrcoef(centres[small, 0], centres[small, 1])[0, 1]) < 0.1
