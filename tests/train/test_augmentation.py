"""Augmentation: the same for the same seed, labels stay under their pixels, off means off, what is covered is gone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.tiny import SIDE, recipe, scene, write_dataset
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.nuclei.targets import BACKGROUND
from wsi_nucssl.resample import resample, triangle_taps
from wsi_nucssl.train.augment import optics, separable
from wsi_nucssl.train.augment import scene as scenery
from wsi_nucssl.train.augment.draws import Draws
from wsi_nucssl.train.augment.geometry import crop, footprint
from wsi_nucssl.train.augment.stain import Palette, estimated_vectors, standard_vectors
from wsi_nucssl.train.crops import Crops, LabelledImage
from wsi_nucssl.train.images import read_images
from wsi_nucssl.train.job import SplitChoice
from wsi_nucssl.train.recipe import Augmentation

STILL = Augmentation(
    **{name: 0 for name, field in Augmentation.model_fields.items() if name != "elastic_cell_px"}
)


def draws(*seeds: int) -> Draws:
    return Draws.of_crops(0, seeds)


def crops(seed: int = 0, **changes: object) -> Crops:
    return Crops([LabelledImage(str(n), *scene(n)) for n in range(3)], recipe(**changes), seed)


def view_of(
    image: np.ndarray, labels: np.ndarray, settings: Augmentation, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """One crop of 64 px, with what is beyond the image mirrored as `Crops` does."""
    pad = max(0, footprint(64, settings) - SIDE)
    planes = np.pad(image.transpose(2, 0, 1), [(0, 0), (0, pad), (0, pad)], mode="symmetric")
    marks = np.pad(labels, [(0, pad), (0, pad)], mode="symmetric")
    return crop([torch.from_numpy(planes)], [torch.from_numpy(marks)], 64, settings, draws(seed))


def test_a_batch_is_a_function_of_seed_and_index() -> None:
    first, second = crops(), crops()
    second.batch(9)
    for index in (0, 7):
        one, other = first.batch(index), second.batch(index)
        assert all(bool((one[name] == other[name]).all()) for name in one)
    assert not bool((crops(1).batch(0)["image"] == first.batch(0)["image"]).all())
    assert not bool((first.batch(1)["image"] == first.batch(0)["image"]).all())


@pytest.mark.parametrize("upscale", [1, 2])
def test_batches_are_bytes_of_the_stated_shapes(upscale: int) -> None:
    images = [
        LabelledImage("0", *scene(0), teacher=np.full((2, SIDE, SIDE), 100, np.uint8)),
        LabelledImage("1", *scene(1), stains="hematoxylin", teacher=np.full((2, SIDE, SIDE), 100, np.uint8)),
    ]
    batch = Crops(images, recipe(), 0, upscale=upscale).batch(0)
    assert tuple(batch["image"].shape) == (2, 3, 64 // upscale, 64 // upscale)
    assert tuple(batch["classes"].shape) == (2, 64, 64)
    assert tuple(batch["teacher"].shape) == (2, 2, 64, 64)
    assert {str(value.dtype) for value in batch.values()} == {"torch.uint8"}


def test_each_image_comes_equally_often() -> None:
    plain = [LabelledImage(str(n), np.full((96, 96, 3), 50 * n, np.uint8), scene(0)[1]) for n in range(3)]
    source = Crops(plain, recipe(augmentation=STILL, batch_size=3), 0)
    for index in range(4):
        values = source.batch(index)["image"].float().mean(dim=(1, 2, 3)).round().tolist()
        assert np.allclose(sorted(values), [0, 50, 100], atol=1)


@settings(max_examples=10, deadline=None)
@given(weights=st.lists(st.floats(0.1, 4), min_size=2, max_size=4), seed=st.integers(0, 99))
def test_images_come_as_often_as_their_weights_say(weights: Sequence[float], seed: int) -> None:
    plain = [
        LabelledImage(str(n), np.full((96, 96, 3), 60 * n, np.uint8), scene(0)[1], weight=weight)
        for n, weight in enumerate(weights)
    ]
    source = Crops(plain, recipe(), seed)
    count = len(weights)
    for first in range(0, 12 * count, count):
        drawn = [source._choice(number) for number in range(first, first + count)]
        for image, weight in enumerate(weights):
            assert abs(drawn.count(image) - count * weight / sum(weights)) < 1 + 1e-9


@pytest.mark.parametrize("seed", range(8))
def test_labels_stay_under_their_pixels(seed: int) -> None:
    _, labels = scene(seed)
    image = np.repeat((labels > 0)[..., None] * np.uint8(255), 3, axis=2)
    geometry = STILL.model_copy(update={"scale": 0.25, "shear": 0.1, "elastic_px": 4.0})
    view, view_labels = view_of(image, labels, geometry, seed)
    bright = view[0, 0] > 127
    assert (bright == (view_labels[0] > 0)).float().mean() > 0.994


def test_without_jitter_no_value_is_made_up() -> None:
    image, labels = scene(0)
    view, view_labels = view_of(image, labels, STILL, 0)
    assert set(view_labels.unique().tolist()) <= set(np.unique(labels).tolist())  # type: ignore[no-untyped-call]
    assert (view >= int(image.min())).all()
    assert (view <= int(image.max())).all()


def test_what_is_off_changes_nothing() -> None:
    image, labels = scene(0)
    view, view_labels = view_of(image, labels, STILL, 4)
    exact = view.round()
    palette = Palette((estimated_vectors(image),))
    restained = palette.restain(exact, [standard_vectors()], STILL, draws(1))
    torch.testing.assert_close(restained, exact, rtol=0, atol=1e-2)
    covered, visible = scenery.cover(exact, view_labels, STILL, draws(1))
    assert torch.equal(covered, exact)
    assert torch.equal(visible, view_labels)
    assert torch.equal(optics.blur(optics.coarsen(exact, STILL, draws(1)), STILL, draws(1)), exact)
    assert torch.equal(optics.expose(exact, STILL, draws(1)).float(), exact)


def stained(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """RGB (200, 200, 3) of tissue with two stains in random amounts, each alone in places."""
    rng = np.random.default_rng(seed)
    amounts = rng.uniform(0.4, 1.6, (200, 200, 2)) * rng.choice(([1, 0.02], [0.02, 1], [1, 1]), (200, 200))
    density = amounts @ vectors[:2]
    image: np.ndarray = np.clip(np.rint(256 * np.exp(-density) - 1), 0, 255).astype(np.uint8)
    return image


@pytest.mark.parametrize(
    ("hematoxylin", "eosin"),
    [((0.65, 0.70, 0.29), (0.27, 0.90, 0.35)), ((0.55, 0.76, 0.35), (0.20, 0.85, 0.48))],
)
def test_the_stains_of_a_mixture_are_found(hematoxylin: tuple[float, ...], eosin: tuple[float, ...]) -> None:
    truth = np.stack([np.array(v) / np.linalg.norm(v) for v in (hematoxylin, eosin)])
    found = estimated_vectors(stained(truth))
    assert (np.sum(found[:2] * truth, axis=1) > np.cos(np.deg2rad(4))).all()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)


def test_glass_alone_has_the_published_stains() -> None:
    np.testing.assert_array_equal(estimated_vectors(np.full((64, 64, 3), 240, np.uint8)), standard_vectors())


def test_exchanged_vectors_are_those_of_the_other_image() -> None:
    own, other = standard_vectors(), standard_vectors()[[1, 0, 2]]
    settings = STILL.model_copy(update={"exchange_p": 1.0})
    image = torch.from_numpy(stained(own).transpose(2, 0, 1).copy())[None].float()
    found = Palette((other,)).restain(image, [own], settings, draws(3))
    density = -torch.log((image + 1) / 256).numpy()
    expected = 256 * np.exp(-np.einsum("cd,ncyx->ndyx", np.linalg.inv(own) @ other, density)) - 1
    np.testing.assert_allclose(found.numpy(), np.clip(expected, 0, 255), atol=1e-2)


def test_hematoxylin_alone_leaves_no_eosin() -> None:
    vectors = standard_vectors()
    settings = STILL.model_copy(update={"hematoxylin_only_p": 1.0})
    image = torch.from_numpy(stained(vectors).transpose(2, 0, 1).copy())[None].float()
    found = Palette((vectors,)).restain(image, [vectors], settings, draws(3))
    amounts = -np.log((found[0].numpy() + 1) / 256).transpose(1, 2, 0) @ np.linalg.inv(vectors)
    assert np.abs(amounts[..., 1:]).max() < 0.02
    assert amounts[..., 0].max() > 1


COVERS = ("glass_p", "fill_p", "pen_p", "dust_p")


@pytest.mark.parametrize("name", COVERS)
@pytest.mark.parametrize("seed", range(6))
def test_what_is_covered_is_no_nucleus_and_what_is_not_stays(name: str, seed: int) -> None:
    view, labels = torch.full((1, 3, 96, 96), 120.0), torch.arange(1, 96 * 96 + 1).reshape(1, 96, 96)
    settings = STILL.model_copy(update={name: 1.0})
    covered, visible = scenery.cover(view, labels, settings, draws(seed))
    gone = visible == 0
    assert gone.any()
    assert torch.equal(visible[~gone], labels[~gone])
    changed = (covered - view).abs().amax(dim=1)
    assert changed[gone].min() > 5
    assert covered.min() >= 0
    assert covered.max() <= 255


@pytest.mark.parametrize("seed", range(6))
def test_fill_is_one_exact_colour(seed: int) -> None:
    view, labels = torch.rand(1, 3, 96, 96) * 100 + 50, torch.ones(1, 96, 96, dtype=torch.long)
    covered, visible = scenery.cover(view, labels, STILL.model_copy(update={"fill_p": 1.0}), draws(seed))
    assert len(covered.permute(0, 2, 3, 1)[visible == 0].unique()) == 1  # type: ignore[no-untyped-call]
    assert torch.equal(covered[:, :, 0, 0][visible[:, 0, 0] == 1], view[:, :, 0, 0][visible[:, 0, 0] == 1])


def test_a_fold_only_darkens_and_keeps_its_nuclei() -> None:
    view, labels = torch.rand(1, 3, 96, 96) * 200, torch.ones(1, 96, 96, dtype=torch.long)
    folded, kept = scenery.cover(view, labels, STILL.model_copy(update={"fold_p": 1.0}), draws(0))
    assert torch.equal(kept, labels)
    assert (folded <= view + 1e-3).all()
    assert (folded < view - 5).any()


def test_a_teacher_sees_no_nucleus_under_a_cover_either() -> None:
    image = LabelledImage("0", *scene(0), teacher=np.full((2, SIDE, SIDE), 100, np.uint8))
    settings = STILL.model_copy(update={"fill_p": 1.0})
    batch = Crops([image], recipe(augmentation=settings, batch_size=4), 0).batch(0)
    lost = (batch["classes"] != BACKGROUND) & (batch["teacher"][:, 0] == 0)
    assert not lost.any()
    assert (batch["teacher"] == 0).any()


def test_nor_where_annotators_saw_none() -> None:
    teacher = np.full((2, SIDE, SIDE), 100, np.uint8)
    bare = LabelledImage(
        "0", np.full((SIDE, SIDE, 3), 90, np.uint8), np.zeros((SIDE, SIDE), np.int32), teacher=teacher
    )
    settings = STILL.model_copy(update={"fill_p": 1.0})
    batch = Crops([bare], recipe(augmentation=settings, batch_size=6), 0).batch(0)
    filled = (batch["image"].float() - 90).abs().amax(dim=1) > 2
    assert filled.any()
    assert torch.equal(filled, (batch["teacher"] == 0).all(dim=1))


def test_blur_is_a_gaussian_of_each_view() -> None:
    dots = torch.zeros(2, 3, 33, 33)
    dots[:, :, 16, 16] = 1
    found = separable.apply(separable.gaussians(torch.tensor([0.8, 1.5]), 33, 1.5), dots)
    steps = np.arange(33) - 16
    for each, sigma in zip(found.numpy(), (0.8, 1.5), strict=True):
        line = np.exp(-0.5 * (steps / sigma) ** 2) * (np.abs(steps) <= 5)
        np.testing.assert_allclose(each[0], np.outer(line, line) / line.sum() ** 2, atol=1e-6)


def test_blur_mirrors_what_lies_beyond_the_edges() -> None:
    planes = torch.rand(1, 2, 20, 20)
    found = separable.apply(separable.gaussians(torch.tensor([1.3]), 20, 1.3), planes)
    line = torch.exp(-0.5 * (torch.arange(-4, 5) / 1.3) ** 2)
    kernel = torch.outer(line, line) / line.sum() ** 2
    padded = F.pad(planes, (4,) * 4, mode="reflect")
    expected = F.conv2d(padded.transpose(0, 1), kernel[None, None]).transpose(0, 1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("side", [32, 41, 53])
def test_coarsening_averages_and_enlarges_as_torch_does(side: int) -> None:
    view = torch.rand(1, 3, 64, 64)
    found = separable.apply(separable.coarsenings(torch.tensor([side]), 64, 53), view)
    small = F.interpolate(view, (side, side), mode="area")
    torch.testing.assert_close(found, F.interpolate(small, (64, 64), mode="bilinear", align_corners=False))


@pytest.mark.parametrize("ends", [True, False])
def test_cubic_fields_are_torchs(ends: bool) -> None:
    knots = torch.rand(2, 2, 5, 5)
    found = separable.apply(separable.cubics(5, 64, knots.device, ends=ends), knots)
    torch.testing.assert_close(found, F.interpolate(knots, (64, 64), mode="bicubic", align_corners=ends))


def test_reduction_is_that_of_slides() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (56, 56, 3)).astype(np.uint8)
    view = torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float()
    found = optics.halve(view, STILL, draws(0))
    expected = resample(image, *[triangle_taps(0, 28, 2.0, 56)] * 2)
    inner = found[0].permute(1, 2, 0).numpy()[1:-1, 1:-1]
    assert np.abs(inner - expected[1:-1, 1:-1]).max() <= 1.0
    means = image.reshape(28, 2, 28, 2, 3).mean(axis=(1, 3))
    boxed = optics.halve(view, STILL.model_copy(update={"box_p": 1.0}), draws(0))
    np.testing.assert_allclose(boxed[0].permute(1, 2, 0).numpy(), means, atol=1e-3)


def test_an_image_at_the_mpp_that_the_network_sees_is_seen_as_it_is(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", images=1)
    sample = open_dataset(data)["0"]
    split = SplitChoice(train_all=True).apply(open_dataset(data))
    ((seen,), (plain,)) = (
        read_images(open_dataset(data, mpp=mpp), split.train, 0.25, upscale=upscale)
        for upscale, mpp in ((2, 0.504), (1, 0.5))
    )
    image, labels = sample.pair()
    assert seen.image.shape == plain.image.shape == (2 * SIDE, 2 * SIDE, 3)
    np.testing.assert_array_equal(seen.image.reshape(SIDE, 2, SIDE, 2, 3).mean(axis=(1, 3)), image)
    np.testing.assert_array_equal(seen.labels, labels.repeat(2, axis=0).repeat(2, axis=1))
    assert seen.weight == pytest.approx((0.25 / 0.504) ** 2)
    assert plain.weight == 0.25
    assert not np.array_equal(seen.image, plain.image)


@pytest.mark.parametrize(("quality", "step"), [(10, 80), (50, 16), (90, 3)])
def test_jpeg_of_one_colour_rounds_brightness_and_both_colours(quality: int, step: int) -> None:
    """JFIF 1.02: Cb = (B − Y) / 1.772, Cr = (R − Y) / 1.402; a block of one value v has 8 v first."""
    colours = np.random.default_rng(0).uniform(60, 200, (50, 3))
    for red, green, blue in colours:
        y = 0.299 * red + 0.587 * green + 0.114 * blue
        kept = [
            round(8 * each / step) * step / 8 for each in (y - 128, (blue - y) / 1.772, (red - y) / 1.402)
        ]
        bright, cb, cr = kept[0] + 128, kept[1], kept[2]
        expected = [bright + 1.402 * cr, 0.0, bright + 1.772 * cb]
        expected[1] = (bright - 0.299 * expected[0] - 0.114 * expected[2]) / 0.587
        view = torch.tensor([red, green, blue]).float()[None, :, None, None].expand(1, 3, 8, 8)
        found = optics.jpeg(view, torch.tensor([float(quality)]))[0, :, 3, 5]
        np.testing.assert_allclose(found.numpy(), np.clip(expected, 0, 255), atol=0.02)


@pytest.mark.parametrize("quality", [50, 75, 90])
def test_jpeg_loses_what_the_codec_loses(quality: int) -> None:
    rng = np.random.default_rng(quality)
    image, _ = scene(quality)
    image = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    real = imagecodecs.jpeg8_decode(
        imagecodecs.jpeg8_encode(image, level=quality, subsampling="444", colorspace="rgb")
    ).astype(float)
    view = torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float()
    ours = optics.jpeg(view, torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy()
    loss, real_loss = np.abs(ours - image).mean(), np.abs(real - image).mean()
    assert 0.5 * real_loss < loss < 1.5 * real_loss
    assert np.abs(ours - real).mean() < real_loss


def test_sharpening_is_an_unsharp_mask_and_steepens_edges() -> None:
    view = torch.full((2, 3, 64, 64), 60.0)
    view[..., 32:] = 180
    always = STILL.model_copy(update={"sharpen_p": 1.0})
    found = optics.sharpen(view, always, draws(4, 9))
    numbers = draws(4, 9)
    sigmas, amounts = numbers.uniform(0.6, 1.2), numbers.uniform(0.3, 1.2)
    matrices = separable.gaussians(torch.tensor(sigmas, dtype=torch.float32), 64, 1.2)
    soft = separable.apply(matrices, view)
    expected = view + torch.tensor(amounts, dtype=torch.float32)[:, None, None, None] * (view - soft)
    torch.testing.assert_close(found, expected.clamp(0, 255), rtol=0, atol=1e-3)
    assert (found[..., 32] > 180).all()
    assert (found[..., 31] < 60).all()
    assert torch.equal(optics.sharpen(view, STILL, draws(4, 9)), view)


def test_noise_has_the_deviation_that_was_drawn() -> None:
    view = torch.full((3, 3, 64, 64), 128.0)
    found = optics.expose(view, STILL.model_copy(update={"noise_p": 1.0}), draws(5, 6, 7))
    drawn = draws(5, 6, 7).uniform(1, 8)
    np.testing.assert_allclose(found.float().std(dim=(1, 2, 3)).numpy(), drawn, rtol=0.05)


def test_what_a_crop_draws_does_not_depend_on_those_beside_it() -> None:
    together, alone = Draws.of_crops(3, [7, 8, 9]), Draws.of_crops(3, [8])
    for drawn in ("random", "normal"):
        np.testing.assert_array_equal(getattr(together, drawn)(4, 5)[1], getattr(alone, drawn)(4, 5)[0])
    assert together.integers(0, 10**6)[1] == alone.integers(0, 10**6)[0]
    branch, lone = together.branch(np.array([1, 2])), alone.branch(np.array([0]))
    np.testing.assert_array_equal(branch.random(9)[0], lone.random(9)[0])
    np.testing.assert_array_equal(together.random(9)[1], alone.random(9)[0])


def test_draws_are_uniform_normal_and_unrelated() -> None:
    streams = Draws.of_crops(0, range(400))
    uniform, normal = streams.random(100), streams.normal(100)
    counts = np.histogram(uniform, 20, (0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 45  # χ² of 19 degrees: below in 999 of 1000
    assert abs(normal.mean()) < 0.02
    assert normal.std() == pytest.approx(1, abs=0.02)
    assert np.mean(np.abs(normal) > 1.96) == pytest.approx(0.05, abs=0.005)
    for first, second in ((uniform[:-1], uniform[1:]), (uniform[:, :-1], uniform[:, 1:])):
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.02
    other = Draws.of_crops(1, range(400)).random(100)
    assert abs(np.corrcoef(uniform.ravel(), other.ravel())[0, 1]) < 0.02
    assert set(streams.integers(2, 6, 50).ravel().tolist()) == {2, 3, 4, 5}


def test_a_crop_is_the_same_whatever_batch_it_is_in() -> None:
    quiet = {"noise_p": 0.0, "glass_p": 0.0}  # white noise is drawn for a batch as a whole
    one, two = crops(batch_size=4, augmentation=quiet), crops(batch_size=2, augmentation=quiet)
    whole, halves = one.batch(1), [two.batch(2), two.batch(3)]
    for name, values in whole.items():
        parts = torch.cat([half[name] for half in halves])
        assert (values.int() - parts.int()).abs().float().mean() < 0.01


def test_every_kind_of_thing_is_as_frequent_as_asked_for() -> None:
    view, labels = torch.full((400, 3, 64, 64), 120.0), torch.ones(400, 64, 64, dtype=torch.long)
    for name, probability in (("glass_p", 0.3), ("fill_p", 0.1), ("pen_p", 0.5), ("dust_p", 0.06)):
        settings = STILL.model_copy(update={name: probability})
        covered, _ = scenery.cover(view, labels, settings, draws(*range(400)))
        touched = float((covered != view).flatten(1).any(dim=1).float().mean())
        assert abs(touched - probability) < 4 * (probability * (1 - probability) / 400) ** 0.5
