"""Stain vectors by the published method step by step, and what is drawn when stains are exchanged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.train.test_augmentation import STILL, draws, stained
from tests.train.test_optics_and_stain_draws import restained
from wsi_nucssl.train.augment.stain import Palette, estimated_vectors, standard_vectors

MIXTURES = [((0.65, 0.70, 0.29), (0.27, 0.90, 0.35)), ((0.55, 0.76, 0.35), (0.20, 0.85, 0.48))]


def plain_vectors(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Macenko: stained px, the plane of their two largest axes, the 1 % and 99 % of the angles in it."""
    densities = [-np.log((px.astype(float) + 1) / 256) for px in image.reshape(-1, 3)]
    kept = np.array([each for each in densities if min(each) > 0.15])
    _, axes = np.linalg.eigh(kept.T @ kept)  # ascending
    first, second = axes[:, 2], axes[:, 1]
    first, second = first * np.sign(first.sum()), second * np.sign(second.sum())
    angles = np.sort(np.arctan2(kept @ second, kept @ first))
    ends = []
    for percent in (1, 99):
        place = percent / 100 * (len(angles) - 1)
        low = int(place)
        angle = angles[low] + (place - low) * (angles[low + 1] - angles[low])
        end = np.clip(np.cos(angle) * first + np.sin(angle) * second, 1e-3, None)
        ends.append(end / np.linalg.norm(end))
    blue, pink = sorted(ends, key=lambda end: -float(end[0]))
    residual = np.cross(blue, pink)
    return np.stack([blue, pink, residual / np.linalg.norm(residual)])


@pytest.mark.parametrize(("hematoxylin", "eosin"), [*MIXTURES, ((0.30, 0.10, 0.95), (0.0, 1.0, 0.05))])
@pytest.mark.parametrize("swapped", [False, True])
def test_vectors_are_those_of_the_method_step_by_step(
    hematoxylin: tuple[float, ...], eosin: tuple[float, ...], swapped: bool
) -> None:
    truth = np.stack([np.array(v) / np.linalg.norm(v) for v in (hematoxylin, eosin)])
    image = stained(truth[::-1] if swapped else truth)
    image[:60] = 245  # glass has no say
    image[60:80, :, 0] = 225  # nor what absorbs next to no red: a density of 0.13
    np.testing.assert_allclose(estimated_vectors(image), plain_vectors(image), atol=1e-6)


def test_an_image_of_a_thousand_stained_px_has_stains_of_its_own() -> None:
    truth = np.stack([np.array(v) / np.linalg.norm(v) for v in MIXTURES[0]])
    tissue = stained(truth).reshape(-1, 3)
    density = -np.log((tissue.astype(float) + 1) / 256)
    tissue = tissue[density.min(axis=1) > 0.16]
    glass = np.full((3000, 3), 250, np.uint8)
    for count, own in ((999, False), (1000, True)):
        image = np.concatenate([tissue[:count], glass])[None]
        assert np.array_equal(estimated_vectors(image), standard_vectors()) is not own


@pytest.mark.parametrize(("sine", "own"), [(0.03, False), (0.1, True)])
def test_of_two_stains_that_are_nearly_one_the_published_ones_are_taken(sine: float, own: bool) -> None:
    hematoxylin = np.array([0.6, 0.7, 0.4]) / np.linalg.norm([0.6, 0.7, 0.4])
    across = np.cross(hematoxylin, [0, 0, 1.0])
    other = np.sqrt(1 - sine**2) * hematoxylin + sine * across / np.linalg.norm(across)
    found = estimated_vectors(stained(np.stack([hematoxylin, other])))
    assert np.array_equal(found, standard_vectors()) is not own
    assert np.abs(found[:2] @ found[2]).max() < 1e-9  # the third is at right angles to both


def test_restained_light_ends_at_black_and_white() -> None:
    settings = STILL.model_copy(update={"brightness": 0.3})
    ends = set()
    for seed in range(8):
        for pixel in ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0), (254.0, 1.0, 128.0)):
            found, expected = restained(settings, pixel, seed)
            assert found.tolist() == pytest.approx(expected, abs=0.02)
            ends |= {value for value in found.tolist() if value in (0.0, 255.0)}
    assert ends == {0.0, 255.0}


def three() -> list[NDArray[np.float64]]:
    own = standard_vectors()
    return [own[[0, 1, 2]], own[[1, 0, 2]], own[[2, 1, 0]]]


def test_the_stains_of_every_image_are_taken_as_often_as_another_ones() -> None:
    many = 900
    view = torch.tensor([100.0, 60.0, 150.0]).view(1, 3, 1, 1).expand(many, 3, 1, 1)
    others = three()
    answers = [
        Palette((each,)).restain(
            view[:1], [others[0]], STILL.model_copy(update={"exchange_p": 1.0}), draws(0)
        )
        for each in others
    ]
    for probability in (0.3, 1.0):
        settings = STILL.model_copy(update={"exchange_p": probability})
        found = Palette(tuple(others)).restain(view, [others[0]] * many, settings, draws(*range(many)))
        shares = [
            float(((found - each).abs().flatten(1).amax(dim=1) < 0.01).float().mean()) for each in answers
        ]
        expected = [1 - probability * 2 / 3, probability / 3, probability / 3]
        assert shares == pytest.approx(expected, abs=0.05)


def test_hematoxylin_is_left_alone_as_often_as_asked_for() -> None:
    many, own = 900, standard_vectors()
    view = torch.tensor([100.0, 60.0, 150.0]).view(1, 3, 1, 1).expand(many, 3, 1, 1)
    settings = STILL.model_copy(update={"hematoxylin_only_p": 0.2})
    found = Palette((own,)).restain(view, [own] * many, settings, draws(*range(many)))
    amounts = -np.log((found[:, :, 0, 0].numpy() + 1) / 256) @ np.linalg.inv(own)
    alone = np.abs(amounts[:, 1:]).max(axis=1) < 0.01
    assert alone.mean() == pytest.approx(0.2, abs=0.05)
    np.testing.assert_allclose(amounts[:, 0], amounts[0, 0], atol=0.01)


def test_strengths_shifts_and_light_fill_their_ranges_and_are_right_on_average() -> None:
    """Of many draws: mixing matrices of an identity of stains show each strength, offsets each shift."""
    many = 3000
    settings = STILL.model_copy(update={"stain": 0.4, "stain_shift": 0.2, "brightness": 0.1})
    own = np.broadcast_to(np.eye(3), (many, 3, 3))
    mixing, offsets, light = Palette((np.eye(3),))._draw(own, settings, draws(*range(many)))
    strengths = np.stack([mixing[:, stain, stain] for stain in range(3)], axis=1)
    for values, middle, reach in ((strengths, 1, 0.4), (offsets, 0, 0.2), (light[:, None], 1, 0.1)):
        for each in values.T:
            assert middle - reach <= each.min() < middle - 0.99 * reach
            assert middle + 0.99 * reach < each.max() <= middle + reach
            assert each.mean() == pytest.approx(middle, abs=0.05 * reach)
            assert each.std() == pytest.approx(reach / np.sqrt(3), rel=0.05)
    together = np.corrcoef(np.concatenate([strengths, offsets, light[:, None]], axis=1).T)
    assert np.abs(together - np.eye(7)).max() < 0.07
