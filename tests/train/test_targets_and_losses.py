"""Targets and losses against the formulas in plain loops."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.tiny import scene
from wsi_nucssl.nuclei import targets
from wsi_nucssl.nuclei.targets import BACKGROUND, BODY, BOUNDARY, three_class
from wsi_nucssl.train.losses import SegmentationLoss, soft_dice
from wsi_nucssl.train.targets import three_class as batched_three_class


def disk(radius: int) -> list[tuple[int, int]]:
    """Offsets (row, col) of OpenCV's disk: each row as wide as the circle there, rounded."""
    offsets = []
    for row in range(-radius, radius + 1):
        half = round(math.sqrt(radius**2 - row**2))
        offsets += [(row, col) for col in range(-half, half + 1)]
    return offsets


@pytest.mark.parametrize("radius", range(9))
def test_the_disk_is_opencvs(radius: int) -> None:
    expected = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    np.testing.assert_array_equal(targets.disk(radius), expected)


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


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), band=st.integers(1, 5), cell=st.integers(1, 7))
def test_on_tensors_the_targets_are_the_same(seed: int, band: int, cell: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 5, (3, 4, 6)), np.ones((1, cell, cell), int)).astype(np.int32)
    found = batched_three_class(torch.from_numpy(labels).long(), band)
    assert found.dtype == torch.uint8
    for each, alone in zip(found.numpy(), labels, strict=True):
        np.testing.assert_array_equal(each, three_class(alone, band))


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
    return float(total / weight_sum + dice * (1 - (overlap[1] + overlap[2]) / 2))


@pytest.mark.parametrize("dice", [0.0, 0.7])
def test_loss_is_the_formula(dice: float) -> None:
    rng = np.random.default_rng(0)
    logits, classes = rng.normal(size=(2, 3, 5, 4)), rng.integers(0, 3, (2, 5, 4))
    weights = [1.0, 2.0, 0.5]
    loss = SegmentationLoss(weights, dice)(torch.tensor(logits), torch.tensor(classes, dtype=torch.uint8))
    assert loss.item() == pytest.approx(plain_loss(logits, classes, weights, dice), rel=1e-5)


def test_a_truncated_loss_is_the_formula_and_smooth() -> None:
    rng = np.random.default_rng(1)
    logits, classes = 3 * rng.normal(size=(2, 3, 5, 4)), rng.integers(0, 3, (2, 5, 4))
    weights, gamma = [1.0, 2.0, 0.5], 0.2
    total = weight_sum = 0.0
    truncated = 0
    for n, row, col in np.ndindex(*classes.shape):
        exponentials = [math.exp(value) for value in logits[n, :, row, col]]
        true = int(classes[n, row, col])
        p = exponentials[true] / sum(exponentials)
        truncated += p < gamma
        loss = -math.log(gamma) + 0.5 * (1 - p**2 / gamma**2) if p < gamma else -math.log(p)
        total += weights[true] * loss
        weight_sum += weights[true]
    assert 5 < truncated < 35
    found = SegmentationLoss(weights, 0.0, truncation=gamma)(torch.tensor(logits), torch.tensor(classes))
    assert found.item() == pytest.approx(total / weight_sum, rel=1e-5)


def test_teachers_take_their_share_of_the_cross_entropy() -> None:
    rng = np.random.default_rng(2)
    logits, classes = rng.normal(size=(2, 3, 4, 4)), rng.integers(0, 3, (2, 4, 4))
    teacher = rng.integers(0, 120, (2, 2, 4, 4)).astype(np.uint8)
    weights = [1.0, 2.0, 0.5]
    soft = weight_sum = 0.0
    for n, row, col in np.ndindex(*classes.shape):
        exponentials = [math.exp(value) for value in logits[n, :, row, col]]
        body, boundary = (int(value) / 255 for value in teacher[n, :, row, col])
        for name, p in enumerate((1 - body - boundary, body, boundary)):
            soft -= weights[name] * p * math.log(exponentials[name] / sum(exponentials))
            weight_sum += weights[name] * p
    expected = 0.7 * plain_loss(logits, classes, weights, 0.0) + 0.3 * soft / weight_sum
    loss = SegmentationLoss(weights, 0.0, teacher=0.3)
    found = loss(torch.tensor(logits), torch.tensor(classes), torch.tensor(teacher))
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert loss(torch.tensor(logits), torch.tensor(classes)).item() == pytest.approx(
        plain_loss(logits, classes, weights, 0.0), rel=1e-5
    )


def test_teachers_that_claim_more_than_a_whole_leave_no_background() -> None:
    """Rounding makes P(body) + P(boundary) 256 or more of 255: nothing is left for the background, not less."""
    logits = torch.tensor([[2.0, -1.0, 0.5]]).view(1, 3, 1, 1)
    teacher = torch.tensor([200, 60], dtype=torch.uint8).view(1, 2, 1, 1)
    loss = SegmentationLoss([1.0, 1.0, 1.0], 0.0, teacher=1.0)
    log_p = [value - math.log(math.exp(2) + math.exp(-1) + math.exp(0.5)) for value in (2.0, -1.0, 0.5)]
    expected = -(200 * log_p[1] + 60 * log_p[2]) / 260
    assert loss(logits, torch.zeros(1, 1, 1), teacher).item() == pytest.approx(expected, rel=1e-5)


def test_dice_is_one_only_where_all_is_right() -> None:
    classes = torch.from_numpy(three_class(scene(0)[1], 2))[None]
    perfect = torch.nn.functional.one_hot(classes.long(), 3).movedim(-1, 1).float()
    assert torch.allclose(soft_dice(perfect, classes), torch.ones(3))
    assert (soft_dice(perfect.roll(1, dims=1), classes) < 0.1).all()


def test_what_is_not_asked_for_has_no_say() -> None:
    """Without a word a loss has no truncation and no teacher, and types count as much as the rest."""
    rng = np.random.default_rng(3)
    logits, classes = 2 * rng.normal(size=(2, 5, 4, 4)), rng.integers(0, 3, (2, 4, 4))
    teacher = torch.from_numpy(rng.integers(0, 120, (2, 2, 4, 4)).astype(np.uint8))
    loss, plain = (
        SegmentationLoss([1.0, 2.0, 0.5], 0.4),
        plain_loss(logits[:, :3], classes, [1.0, 2.0, 0.5], 0.4),
    )
    given = torch.tensor(logits), torch.tensor(classes)
    assert loss(*given, teacher).item() == pytest.approx(plain, rel=1e-5)
    types = torch.full((2, 4, 4), 255, dtype=torch.uint8)
    assert loss(*given, None, types).item() == pytest.approx(plain, rel=1e-5)
    types[1, 2, 3] = 1
    first, second = (math.exp(value) for value in logits[1, 3:, 2, 3])
    expected = plain - math.log(second / (first + second))
    assert loss(*given, None, types).item() == pytest.approx(expected, rel=1e-5)


def test_dice_of_a_class_by_hand() -> None:
    """(2 · shared + 1) / (sum + 1) over the whole batch; of the second class, 0.5 + 0.25 are shared."""
    probabilities = torch.tensor([[[0.5, 0.0]], [[0.5, 1.0]]]), torch.tensor([[[0.75, 0.5]], [[0.25, 0.5]]])
    found = soft_dice(torch.stack(probabilities), torch.tensor([[[1, 0]], [[1, 0]]]))
    assert found.tolist() == pytest.approx([(2 * 0.5 + 1) / (1.75 + 2 + 1), (2 * 0.75 + 1) / (2.25 + 2 + 1)])


def test_the_gradient_of_a_truncated_loss_fades_with_the_probability() -> None:
    """d/dz of −log p is p − 1; below γ it is −(p / γ)² (1 − p), so that a sure contradiction hardly pulls."""
    for p in (0.001, 0.05, 0.19, 0.21, 0.7):
        logits = torch.tensor([math.log(p / (1 - p)), 0.0, -1e4]).view(1, 3, 1, 1).requires_grad_()
        SegmentationLoss([1.0, 1.0, 1.0], 0.0, truncation=0.2)(logits, torch.zeros(1, 1, 1)).backward()
        assert logits.grad is not None
        expected = -((p / 0.2) ** 2 if p < 0.2 else 1) * (1 - p)
        assert float(logits.grad[0, 0, 0, 0]) == pytest.approx(expected, rel=1e-4)
