"""Images and labels at another resolution: as slides are, nothing lost, nothing split."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from tests.datasets import factory
from wsi_nucssl.datasets import Dataset, Sample, open_dataset
from wsi_nucssl.datasets.resample import resample_image, resample_labels
from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.slide import Canvas, open_slide

label_images = st.tuples(st.integers(1, 17), st.integers(1, 17)).flatmap(
    lambda shape: arrays(np.int32, shape, elements=st.integers(0, 4))
)
scenes = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 12), st.integers(1, 12)), max_size=9
)
"""Rectangles, the later in front: row, col, height, width."""


def pieces(labels: np.ndarray) -> dict[int, int]:
    """4-connected components of each id, the background's too."""
    return {int(name): ndimage.label(labels == name)[1] for name in np.unique(labels)}


def scene_of(rectangles: list[tuple[int, int, int, int]]) -> np.ndarray:
    labels = np.zeros((32, 35), np.int32)
    for name, (row, col, height, width) in enumerate(rectangles, start=1):
        labels[row : row + height, col : col + width] = name
    return labels


def largest_square(mask: np.ndarray) -> int:
    """Side in px of the largest square inside a mask."""
    side = 0
    while any(
        mask[row : row + side + 1, col : col + side + 1].sum() == (side + 1) ** 2
        for row, col in np.argwhere(mask)
    ):
        side += 1
    return side


def sample_of(image: np.ndarray, labels: np.ndarray, mpp: float | None) -> Sample:
    return Sample("a", None, Path("memory"), partial(np.copy, image), lambda _shape: labels.copy(), mpp=mpp)


@given(label_images, st.floats(0.11, 1.0))
def test_enlarging_loses_nothing_and_splits_nothing(labels: np.ndarray, step: float) -> None:
    large = resample_labels(labels, step)
    assert large.dtype == np.int32
    assert large.shape == tuple(max(1, math.ceil(length / step - 1e-6)) for length in labels.shape)
    assert pieces(large) == pieces(labels)
    fewest, most = math.floor(1 / step) ** 2, (math.ceil(1 / step) + 1) ** 2
    for name in np.unique(labels):
        assert fewest * (labels == name).sum() <= (large == name).sum() <= most * (labels == name).sum()


@given(label_images, st.integers(1, 5))
def test_enlarging_by_a_whole_number_repeats_pixels(labels: np.ndarray, times: int) -> None:
    wanted = labels.repeat(times, axis=0).repeat(times, axis=1)
    np.testing.assert_array_equal(resample_labels(labels, 1 / times), wanted)


@given(scenes, st.floats(1.0, 7.0))
def test_shrinking_keeps_what_is_large_enough(
    rectangles: list[tuple[int, int, int, int]], step: float
) -> None:
    labels = scene_of(rectangles)
    small = resample_labels(labels, step)
    for name in np.unique(labels[labels > 0]):
        assert name in small or largest_square(labels == name) < step
    assert set(np.unique(small)) <= {0, *np.unique(labels)}


@given(label_images, st.floats(1.0, 7.0))
def test_shrinking_takes_the_nearest_pixel_or_saves_a_nucleus(labels: np.ndarray, step: float) -> None:
    """Pixel by pixel; a nucleus that no pixel saw is missing only where its centre's pixel is another's last."""
    small = resample_labels(labels, step)
    nearest = np.array(
        [
            [
                labels[
                    min(int((row + 0.5) * step), labels.shape[0] - 1),
                    min(int((col + 0.5) * step), labels.shape[1] - 1),
                ]
                for col in range(small.shape[1])
            ]
            for row in range(small.shape[0])
        ]
    )
    seen, kept = set(np.unique(nearest[nearest > 0])), set(np.unique(small[small > 0]))
    assert seen <= kept
    assert set(small[small != nearest]) == kept - seen
    for name in set(np.unique(labels[labels > 0])) - kept:
        places = np.argwhere(labels == name)
        centre = places[((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin()]
        row, col = (min(int((c + 0.5) / step), n - 1) for c, n in zip(centre, small.shape, strict=True))
        assert (small == small[row, col]).sum() == 1


def test_a_nucleus_of_one_pixel_survives_a_reduction() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[3, 5], labels[20:30, 20:30], labels[24, 24] = 7, 2, 9
    small = resample_labels(labels, 4.0)
    assert small[0, 1] == 7
    assert small[6, 6] == 9
    assert (small == 2).sum() > 1


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.37, 1.1])
def test_an_image_is_resampled_as_a_slide_is(tmp_path: Path, mpp: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    file = factory.write_png(tmp_path / "a.png", image)
    with open_slide(file, mpp=0.5) as slide:
        canvas = Canvas(slide, Mpp.square(mpp))
        wanted = canvas.read(canvas.box)
    got, labels = sample_of(image, np.zeros((61, 83), np.int32), 0.5).pair_at(mpp)
    np.testing.assert_array_equal(got, wanted)
    assert labels.shape == wanted.shape[:2]


def test_the_same_resolution_gives_the_same_arrays() -> None:
    image, labels = factory.image(), factory.labels()
    for own in (0.25, 0.252, None):
        sample = Sample("a", None, Path("memory"), lambda: image, lambda _shape: labels, mpp=own)
        same_image, same_labels = sample.pair_at(0.25)
        assert same_image is image
        assert same_labels is labels
        assert sample.image_at(0.25) is image


def test_what_nobody_states_is_taken_for_the_default() -> None:
    sample = sample_of(factory.image(), factory.labels(), None)
    assert sample.pair_at(0.5)[0].shape == (3, 5, 3)
    assert sample.pair_at(0.5, default=0.5)[0].shape == (6, 9, 3)
    assert sample.pair_at(0.25, default=0.5)[1].shape == (12, 18)
    stated = replace(sample, mpp=0.5)
    np.testing.assert_array_equal(stated.image_at(0.25, default=1.0), resample_image(factory.image(), 0.5))


@pytest.mark.parametrize("mpp", [0.0, 0.04, 4.1, math.nan, math.inf, -0.25])
def test_an_impossible_resolution_is_refused(mpp: float) -> None:
    sample = sample_of(factory.image(), factory.labels(), None)
    for call in (lambda: sample.pair_at(mpp), lambda: sample.image_at(0.25, default=mpp)):
        with pytest.raises(UsageError, match=r"outside 0\.05 … 4"):
            call()


def test_hashes_are_those_of_the_pixels_as_stored() -> None:
    sample = sample_of(factory.image(), factory.labels(), 0.5)
    assert sample.hashes() == replace(sample, mpp=None).hashes()


def test_the_real_images_at_20x_double(monuseg: Path) -> None:
    dataset: Dataset = open_dataset(monuseg)
    coarse, fine = dataset["TCGA-HE-7129-01Z-00-DX1"], dataset["TCGA-CH-5767-01Z-00-DX1"]
    image, labels = coarse.pair_at(0.25)
    assert image.shape == (2000, 2000, 3)
    np.testing.assert_array_equal(labels, coarse.labels().repeat(2, axis=0).repeat(2, axis=1))
    assert fine.image_at(0.25).shape == (1000, 1000, 3)
    small, small_labels = fine.pair_at(0.504)
    assert small.shape == (500, 500, 3)
    assert set(np.unique(small_labels)) == set(np.unique(fine.labels()))
