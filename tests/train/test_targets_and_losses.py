"""Targets and losses against the formulas in plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.tiny import scene
from wsi_nucssl.nuclei.targets import BACKGROUND, BODY, BOUNDARY, three_class
from wsi_nucssl.train.losses import SegmentationLoss, soft_dice


def disk(radius: int) -> list[tuple[int, int]]:
    """Offsets (row, col) of OpenCV's disk: each row as wide as the circle there, rounded."""
    offsets = []
    for row in range(-radius, radius + 1):
        half = round(math.sqrt(radius**2 - row**2))
        offsets += [(row, col) for col in range(-half, half + 1)]
    return offsets


def plain_three_class(labels: np.ndarray, band: int) -> np.ndarray:
    """Boundary where another label lies within the disk; a bodiless nucleus is left out."""
    height, width = labels.shape
    classes = np.zeros(labels.shape, np.uint8)
    for row in range(height):
        for col in range(width):
            if labels[row, col] == 0:
                continue
            near = {
                int(labels[row + dy, col + dx])
                for dy, dx in disk(band)
                if 0 <= row + dy < height and 0 <= col + dx < width
            }
            classes[row, col] = BODY if near == {int(labels[row, col])} else BOUNDARY
    return classes


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), band=st.integers(1, 5))
def test_targets_are_those_of_the_definition(seed: int, band: int) -> None:
    labels = np.kron(np.random.default_rng(seed).integers(0, 4, (4, 5)), np.ones((7, 6), int)).astype(
        np.int32
    )
    classes, expected = three_class(labels, band), plain_three_class(labels, band)
    for label in np.unique(labels[labels > 0]):
        inside = labels == label
        if (expected[inside] == BODY).any():
            np.testing.assert_array_equal(classes[inside], expected[inside])
    assert ((classes == BACKGROUND) == (labels == 0)).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), band=st.integers(1, 5))
def test_every_nucleus_has_a_body_however_tiny(seed: int, band: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 40, (12, 12)).astype(np.int32)
    classes = three_class(labels, band)
    for label in np.unique(labels[labels > 0]):
        assert (classes[labels == label] == BODY).any()


def test_a_tiny_nucleus_keeps_its_innermost_pixels() -> None:
    labels = np.zeros((9, 9), np.int32)
    labels[3:6, 3:6] = 7
    classes = three_class(labels, 3)
    assert classes[4, 4] == BODY
    assert (classes == BODY).sum() == 1
    assert (classes == BOUNDARY).sum() == 8


def test_no_contour_along_the_edge_of_the_image() -> None:
    assert (three_class(np.ones((8, 8), np.int32), 2) == BODY).all()


def plain_loss(logits: np.ndarray, classes: np.ndarray, weights: list[float], dice: float) -> float:
    """Weighted mean of −log p of the true class, plus the Dice term."""
    total = weight_sum = 0.0
    shared, sums = np.zeros(3), np.zeros(3)
    for n, row, col in np.ndindex(*classes.shape):
        exponentials = [math.exp(value) for value in logits[n, :, row, col]]
        probabilities = [value / sum(exponentials) for value in exponentials]
        true = int(classes[n, row, col])
        total -= weights[true] * math.log(probabilities[true])
        weight_sum += weights[true]
        for name in range(3):
            shared[name] += probabilities[name] * (name == true)
            sums[name] += probabilities[name] + (name == true)
    overlap = (2 * shared + 1) / (sums + 1)
    return total / weight_sum + dice * (1 - (overlap[1] + overlap[2]) / 2)


@pytest.mark.parametrize("dice", [0.0, 0.7])
def test_loss_is_the_formula(dice: float) -> None:
    rng = np.random.default_rng(0)
    logits, classes = rng.normal(size=(2, 3, 5, 4)), rng.integers(0, 3, (2, 5, 4))
    weights = [1.0, 2.0, 0.5]
    loss = SegmentationLoss(weights, dice)(torch.tensor(logits), torch.tensor(classes, dtype=torch.uint8))
    assert loss.item() == pytest.approx(plain_loss(logits, classes, weights, dice), rel=1e-5)


def test_dice_is_one_only_where_all_is_right() -> None:
    classes = torch.from_numpy(three_class(scene(0)[1], 2))[None]
    perfect = torch.nn.functional.one_hot(classes.long(), 3).movedim(-1, 1).float()
    assert torch.allclose(soft_dice(perfect, classes), torch.ones(3))
    assert (soft_dice(perfect.roll(1, dims=1), classes) < 0.1).all()
