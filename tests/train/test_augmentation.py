"""Augmentation: the same for the same seed, labels stay under their pixels, off means off."""

from __future__ import annotations

import numpy as np
import pytest

from tests.train.tiny import recipe, scene
from wsi_nucssl.train.augment import random_crop
from wsi_nucssl.train.crops import Annotated, Crops
from wsi_nucssl.train.recipe import Augmentation

STILL = Augmentation(
    scale=0, shear=0, elastic_px=0, stain=0, stain_shift=0, brightness=0, coarse_p=0, blur_p=0, noise_p=0
)


def crops(seed: int = 0) -> Crops:
    return Crops([Annotated(str(n), *scene(n)) for n in range(3)], recipe(), seed)


def test_a_batch_is_a_function_of_seed_and_index() -> None:
    first, second = crops(), crops()
    second.batch(9)
    for index in (0, 7):
        one, other = first.batch(index), second.batch(index)
        assert all(bool((one[name] == other[name]).all()) for name in one)
    assert not bool((crops(1).batch(0)["image"] == first.batch(0)["image"]).all())
    assert not bool((first.batch(1)["image"] == first.batch(0)["image"]).all())


def test_batches_are_bytes_of_the_stated_shapes() -> None:
    batch = crops().batch(0)
    assert tuple(batch["image"].shape) == (2, 3, 64, 64)
    assert tuple(batch["classes"].shape) == (2, 64, 64)
    assert {str(value.dtype) for value in batch.values()} == {"torch.uint8"}


def test_each_image_comes_equally_often() -> None:
    plain = [Annotated(str(n), np.full((96, 96, 3), 50 * n, np.uint8), scene(0)[1]) for n in range(3)]
    source = Crops(plain, recipe(augmentation=STILL, batch_size=3), 0)
    for index in range(4):
        values = source.batch(index)["image"].float().mean(dim=(1, 2, 3)).round().tolist()
        assert np.allclose(sorted(values), [0, 50, 100], atol=1)


@pytest.mark.parametrize("seed", range(8))
def test_labels_stay_under_their_pixels(seed: int) -> None:
    _, labels = scene(seed)
    image = np.repeat((labels > 0)[..., None] * np.uint8(255), 3, axis=2)
    geometry = STILL.model_copy(update={"scale": 0.25, "shear": 0.1, "elastic_px": 4.0})
    view, view_labels = random_crop(image, labels, 64, geometry, np.random.default_rng(seed))
    bright = view[..., 0] > 127
    assert (bright == (view_labels > 0)).mean() > 0.995


def test_without_jitter_no_value_is_made_up() -> None:
    image, labels = scene(0)
    view, view_labels = random_crop(image, labels, 64, STILL, np.random.default_rng(0))
    assert set(np.unique(view_labels)) <= set(np.unique(labels))
    assert (view >= image.min(axis=(0, 1))).all()
    assert (view <= image.max(axis=(0, 1))).all()


def test_stain_jitter_moves_no_pixel() -> None:
    image, labels = scene(0)
    still, where = random_crop(image, labels, 64, STILL, np.random.default_rng(4))
    jitter = STILL.model_copy(update={"stain": 0.2, "stain_shift": 0.04, "brightness": 0.08})
    jittered, same = random_crop(image, labels, 64, jitter, np.random.default_rng(4))
    np.testing.assert_array_equal(where, same)
    assert not np.array_equal(still, jittered)
