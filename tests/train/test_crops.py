"""Which image a crop comes from, what lies beyond it, and that every step of the chain is taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.train.test_augmentation import STILL
from tests.train.tiny import recipe, scene
from wsi_nucssl.nuclei import targets
from wsi_nucssl.train.augment import geometry, optics
from wsi_nucssl.train.augment.draws import Draws
from wsi_nucssl.train.augment.scene import cover
from wsi_nucssl.train.augment.stain import Palette, estimated_vectors, standard_vectors
from wsi_nucssl.train.crops import Crops, LabelledImage, _mirrored
from wsi_nucssl.train.recipe import Augmentation
from wsi_nucssl.train.targets import UNKNOWN_TYPE, three_class


def flat(number: int, width: int = 96, weight: float = 1.0) -> LabelledImage:
    image = np.full((96, width, 3), 40 * number + 20, np.uint8)
    return LabelledImage(str(number), image, np.zeros((96, width), np.int32), weight=weight)


def counts(crops: Crops, rounds: int) -> list[int]:
    images = len(crops.planes)
    drawn = [crops._choice(number) for number in range(rounds * images)]
    found: list[int] = np.bincount(drawn, minlength=images).tolist()
    return found


def test_a_large_image_comes_as_often_as_its_px_ask_for() -> None:
    few, many = counts(Crops([flat(0), flat(1, width=288)], recipe(), 0), 400)
    assert many / (few + many) == pytest.approx(0.75, abs=0.04)


def test_what_a_round_has_no_whole_place_for_is_made_up_over_rounds() -> None:
    rare, often = counts(Crops([flat(0, weight=0.2), flat(1)], recipe(), 0), 600)
    assert rare / (rare + often) == pytest.approx(1 / 6, abs=0.03)


def test_rounds_come_in_many_orders() -> None:
    crops = Crops([flat(number) for number in range(4)], recipe(), 0)
    orders = {tuple(crops._choice(4 * round_ + place) for place in range(4)) for round_ in range(40)}
    assert len(orders) > 12
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)


def test_small_images_go_on_as_their_mirror_image() -> None:
    line = np.array([[1, 2, 3]])
    assert _mirrored(line, 7)[2].tolist() == [2, 1, 1, 2, 3, 3, 2]
    assert _mirrored(line, 1) is line


def test_stains_are_estimated_where_there_are_two_and_published_where_there_is_one() -> None:
    image, labels = scene(0)
    both = LabelledImage("0", image, labels)
    one = LabelledImage("1", scene(1)[0], labels, stains="hematoxylin")
    crops = Crops([both, one], recipe(), 0)
    np.testing.assert_array_equal(crops.vectors[0], estimated_vectors(image))
    np.testing.assert_array_equal(crops.vectors[1], standard_vectors())
    assert len(crops.palette.vectors) == 2
    assert not np.allclose(crops.vectors[0], crops.vectors[1])


def test_what_a_teacher_says_alike_everywhere_is_passed_on_to_the_byte() -> None:
    image = LabelledImage("0", *scene(0), teacher=np.full((2, 96, 96), 101, np.uint8))
    batch = Crops([image], recipe(augmentation=STILL), 0).batch(0)
    assert set(batch["teacher"].unique().tolist()) == {101}  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "name", [name for name in Augmentation.model_fields if name.endswith("_p") and name != "box_p"]
)
def test_every_step_of_the_chain_is_taken(name: str) -> None:
    images = [LabelledImage(str(number), *scene(number)) for number in range(3)]
    images.append(LabelledImage("3", *scene(3), stains="hematoxylin"))
    plain, varied = (
        Crops(images, recipe(augmentation=settings, batch_size=4), 0).batch(0)["image"]
        for settings in (STILL, STILL.model_copy(update={name: 1.0}))
    )
    assert not torch.equal(plain, varied)


@pytest.mark.parametrize("upscale", [1, 2])
def test_a_batch_is_the_chain_of_steps_in_their_order(upscale: int) -> None:
    """Geometry, stains, what lies on slides, coarse scanning, blur, halving, sharpening, noise and JPEG."""
    rng = np.random.default_rng(0)
    images = []
    for number in range(3):
        image, labels = scene(number)
        kinds = rng.integers(0, 3, labels.max() + 1 - number).astype(np.uint8)
        teacher = rng.integers(0, 256, (2, 96, 96)).astype(np.uint8)
        images.append(LabelledImage(str(number), image, labels, teacher=teacher, types=kinds))
    often = {name: 0.7 for name in Augmentation.model_fields if name.endswith("_p")}
    taught = recipe(augmentation=often, batch_size=5, boundary_px=3)
    settings = taught.augmentation
    crops = Crops(images, taught, 11, upscale=upscale)
    batch = crops.batch(2)
    chosen = [crops._choice(number) for number in range(10, 15)]
    stream = Draws.of_crops(11, [10, 11, 12, 13, 14])
    vectors = [estimated_vectors(image.image) for image in images]
    planes, marks = geometry.crop(
        [crops.planes[each] for each in chosen], [crops.labels[each] for each in chosen], 64, settings, stream
    )
    for place, each in enumerate(chosen):
        assert set(marks[place].flatten().tolist()) <= set(images[each].labels.ravel().tolist())
    view = Palette(tuple(vectors)).restain(
        planes[:, :3], [vectors[each] for each in chosen], settings, stream
    )
    view, marked = cover(view, marks + 1, settings, stream)
    view = optics.blur(optics.coarsen(view, settings, stream), settings, stream)
    view = optics.halve(view, settings, stream) if upscale == 2 else view
    view = optics.expose(optics.sharpen(view, settings, stream), settings, stream)
    assert torch.equal(batch["image"], view)
    for place, each in enumerate(chosen):
        hidden = marked[place].numpy() == 0
        seen = np.where(hidden, 0, marks[place].numpy()).astype(np.int32)
        np.testing.assert_array_equal(batch["classes"][place].numpy(), targets.three_class(seen, 3))
        table = images[each].types
        assert table is not None
        kinds = np.full(12, UNKNOWN_TYPE)
        kinds[: len(table)] = table
        np.testing.assert_array_equal(batch["types"][place].numpy(), kinds[seen])
        taught_planes = np.where(hidden, 0, np.rint(planes[place, 3:].numpy()))
        np.testing.assert_array_equal(batch["teacher"][place].numpy(), taught_planes)
    assert bool((marked == 0).any())


def test_labels_beyond_what_16_bits_hold_stay_apart() -> None:
    """1 and 65537 are the same number in 16 bits."""
    labels = torch.ones(1, 8, 12, dtype=torch.long)
    labels[:, :, 6:] = 65537
    classes = three_class(labels, 2)
    assert classes[0, 4].tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1]
