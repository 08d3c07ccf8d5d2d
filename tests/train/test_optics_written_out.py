"""Blur, reduction, JPEG and noise in plain loops, at the edges of views and of bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.train.test_augmentation import STILL, draws
from wsi_nucssl.train.augment import optics, separable
from wsi_nucssl.train.augment.draws import white_noise

LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def blur_line(sigma: float, size: int, reach: int) -> NDArray[np.float64]:
    """What each px of a line takes from each: a Gaussian cut off, and folded back at the outer px."""
    found = np.zeros((size, size))
    for row in range(size):
        for offset in range(-reach, reach + 1):
            col = abs(row + offset)
            col = col if col < size else 2 * (size - 1) - col
            found[row, col] += math.exp(-0.5 * (offset / sigma) ** 2)
    normal: NDArray[np.float64] = found / found.sum(axis=1, keepdims=True)
    return normal


@pytest.mark.parametrize(
    ("size", "largest", "reach"),
    [(2, 1.5, 1), (3, 1.5, 2), (6, 1.5, 5), (7, 1.0, 3), (24, 4.0, 12), (9, 0.2, 1)],
)
def test_a_gaussian_reaches_three_deviations_of_the_largest_and_no_further_than_the_view(
    size: int, largest: float, reach: int
) -> None:
    sigmas = (0.6 * largest, largest)
    found = separable.gaussians(torch.tensor(sigmas), size, largest).numpy()
    assert found.shape == (2, size, size)
    for each, sigma in zip(found, sigmas, strict=True):
        np.testing.assert_allclose(each, blur_line(sigma, size, reach), atol=1e-6)


def test_each_plane_has_its_own_matrix_along_both_axes() -> None:
    rng = np.random.default_rng(0)
    matrices, planes = rng.normal(size=(3, 4, 6)), rng.normal(size=(3, 2, 6, 6))
    found = separable.apply(torch.from_numpy(matrices), torch.from_numpy(planes)).numpy()
    shared = separable.apply(torch.from_numpy(matrices[:1]), torch.from_numpy(planes)).numpy()
    for number, channel in np.ndindex(3, 2):
        plane = planes[number, channel]
        np.testing.assert_allclose(found[number, channel], matrices[number] @ plane @ matrices[number].T)
        np.testing.assert_allclose(shared[number, channel], matrices[0] @ plane @ matrices[0].T)


@pytest.mark.parametrize("largest", [13, 16])
def test_averaging_to_fewer_px_weighs_every_px_that_is_touched_alike(largest: int) -> None:
    """Coarse px k holds the px from k S / s up to (k + 1) S / s, whole ones; between centres it is a line."""
    size, sides = 16, (8, 11, 13)
    found = separable.coarsenings(torch.tensor(sides), size, largest).numpy()
    for each, side in zip(found, sides, strict=True):
        reduce = np.zeros((side, size))
        for row in range(side):
            first, stop = row * size // side, -(-(row + 1) * size // side)
            reduce[row, first:stop] = 1 / (stop - first)
        expected = np.zeros((size, size))
        for row in range(size):
            place = min(max((row + 0.5) * side / size - 0.5, 0), side - 1)
            low = min(int(place), side - 2)
            expected[row] = (low + 1 - place) * reduce[low] + (place - low) * reduce[low + 1]
        np.testing.assert_allclose(each, expected, atol=1e-5)


def test_halving_repeats_the_outer_px() -> None:
    """One, three, three and one eighth of four px; at an edge the outer px stands for what lies beyond."""
    line = np.array([8.0, 16, 64, 32, 0, 24])
    expected = [8 / 2 + 16 * 3 / 8 + 64 / 8, 2 + 24 + 12 + 0, 4 + 0 + 24 / 2]
    view = torch.tensor(np.tile(line, (1, 3, 6, 1)), dtype=torch.float32)
    for turned in (view, view.mT):
        found = optics.halve(turned, STILL, draws(0))
        assert tuple(found.shape) == (1, 3, 3, 3)
        found = found if turned is view else found.mT
        np.testing.assert_allclose(found[0].numpy(), np.tile(expected, (3, 3, 1)), atol=1e-4)


def test_halving_by_means_is_drawn_for_each_view() -> None:
    view = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    boxed, soft = (
        optics.halve(view, STILL.model_copy(update={"box_p": p}), draws(*range(40))) for p in (1.0, 0.0)
    )
    mixed = optics.halve(view, STILL.model_copy(update={"box_p": 0.5}), draws(*range(40)))
    means = (mixed == boxed).flatten(1).all(dim=1)
    filtered = (mixed == soft).flatten(1).all(dim=1)
    assert torch.equal(means, ~filtered)
    assert 10 < int(means.sum()) < 30


def cosine(frequency: int, place: int) -> float:
    """The orthonormal DCT-II of 8 samples."""
    scale = math.sqrt(1 / 8) if frequency == 0 else math.sqrt(2 / 8)
    return scale * math.cos(math.pi * (2 * place + 1) * frequency / 16)


DCT = np.array([[cosine(frequency, place) for place in range(8)] for frequency in range(8)])


def plain_jpeg(image: NDArray[np.float64], quality: float) -> NDArray[np.float64]:
    """(3, row, col) block by block: JFIF's colours, DCT, rounding by the table, and all the way back."""
    scale = (5000 / quality if quality < 50 else 200 - 2 * quality) / 100
    red, green, blue = image
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = [y - 128, (blue - y) / 1.772, (red - y) / 1.402]
    for plane in planes:
        for top in range(0, plane.shape[0], 8):
            for left in range(0, plane.shape[1], 8):
                block = plane[top : top + 8, left : left + 8]
                frequencies = DCT @ block @ DCT.T
                for v, u in np.ndindex(8, 8):
                    step = max(1, round(LUMINANCE[v][u] * scale))
                    frequencies[v, u] = round(frequencies[v, u] / step) * step
                plane[top : top + 8, left : left + 8] = DCT.T @ frequencies @ DCT
    y, cb, cr = planes[0] + 128, planes[1], planes[2]
    red, blue = y + 1.402 * cr, y + 1.772 * cb
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    result: NDArray[np.float64] = np.clip(np.stack([red, green, blue]), 0, 255)
    return result


def test_jpeg_is_the_codec_written_out() -> None:
    rng = np.random.default_rng(0)
    qualities = [10.0, 49.0, 50.0, 77.0, 95.0, 100.0]
    images = rng.integers(0, 256, (len(qualities), 3, 16, 24)).astype(float)
    images[:, :, 8:, 8:] = np.linspace(0, 255, 16)  # smooth, too
    found = optics.jpeg(torch.from_numpy(images).float(), torch.tensor(qualities)).numpy()
    for each, image, quality in zip(found, images, qualities, strict=True):
        expected = plain_jpeg(image, quality)
        off = np.abs(each - expected) > 0.1
        assert off.mean() < 0.1  # a coefficient half-way between two steps moves a block
        assert np.abs(each - expected).mean() < 0.1


def test_noise_comes_before_jpeg_and_what_leaves_the_bytes_ends_at_them() -> None:
    levels = (0.0, 3.0, 128.0, 252.0, 255.0)
    view = torch.stack([torch.full((3, 32, 32), level) for level in levels])
    for packed in (0.0, 1.0):
        settings = STILL.model_copy(update={"noise_p": 1.0, "jpeg_p": packed})
        found = optics.expose(view, settings, draws(*range(5)))
        numbers = draws(*range(5))
        deviations, qualities = numbers.uniform(1, 8), numbers.uniform(50, 95)
        numbers.random(2)
        grain = white_noise(view.shape, view.device, numbers).numpy()
        for number, level in enumerate(levels):
            expected = level + deviations[number] * grain[number].astype(float)
            expected = plain_jpeg(expected, qualities[number]) if packed else np.clip(expected, 0, 255)
            off = np.abs(found[number].numpy().astype(float) - np.rint(expected)) > 1
            assert off.mean() < 0.02
            assert found.dtype == torch.uint8


def test_values_are_rounded_to_the_nearest_byte() -> None:
    values = [-3.0, -0.4, 0.0, 0.4, 0.6, 10.49, 10.51, 254.6, 255.4, 300.0]
    view = torch.tensor(values).view(1, 1, 1, -1).expand(1, 3, 1, -1).clone()
    found = optics.expose(view, STILL, draws(0))
    assert found[0, 1, 0].tolist() == [0, 0, 0, 0, 1, 10, 11, 255, 255, 255]


def test_what_sharpening_overdoes_ends_at_black_and_white() -> None:
    view = torch.full((6, 3, 16, 16), 2.0)
    view[..., 8:] = 253
    found = optics.sharpen(view, STILL.model_copy(update={"sharpen_p": 1.0}), draws(*range(6)))
    assert bool((found[..., 7] == 0).all())
    assert bool((found[..., 8] == 255).all())
    torch.testing.assert_close(found[..., 0], view[..., 0], rtol=0, atol=1e-3)


def test_sharpening_and_blur_change_the_views_that_are_drawn_and_no_other() -> None:
    view = torch.rand(30, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255
    for name, step in (("sharpen_p", optics.sharpen), ("blur_p", optics.blur), ("coarse_p", optics.coarsen)):
        some, every = (step(view, STILL.model_copy(update={name: p}), draws(*range(30))) for p in (0.5, 1.0))
        kept = (some == view).flatten(1).all(dim=1)
        changed = (some - every).abs().flatten(1).amax(dim=1) < 1e-3
        assert torch.equal(kept, ~changed)
        assert 5 < int(kept.sum()) < 25
