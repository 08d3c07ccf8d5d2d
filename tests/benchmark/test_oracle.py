"""Perfect splitting and perfect foreground, against loops written from their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.benchmark.test_predictions import same_partition
from wsi_nucssl.benchmark.oracle import decompose, fill_perfectly, split_perfectly, summary
from wsi_nucssl.metrics import aji, compare, pixel_jaccard

STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1))
labels = st.tuples(st.integers(1, 8), st.integers(1, 8)).flatmap(
    lambda shape: st.tuples(*[arrays(np.int32, shape, elements=st.integers(0, 4))] * 2)
)


def pieces(image: np.ndarray) -> list[set[tuple[int, int]]]:
    """4-connected components of one id each."""
    left = {(int(r), int(c)) for r, c in np.argwhere(image > 0)}
    found = []
    while left:
        queue = [left.pop()]
        piece = set(queue)
        while queue:
            row, col = queue.pop()
            for step in STEPS:
                beside = (row + step[0], col + step[1])
                if beside in left and image[beside] == image[row, col]:
                    left.remove(beside)
                    piece.add(beside)
                    queue.append(beside)
        found.append(piece)
    return found


def squared(a: tuple[int, int], b: tuple[int, int]) -> int:
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2


def inside(image: np.ndarray, pixel: tuple[int, int]) -> bool:
    return bool(0 <= pixel[0] < image.shape[0] and 0 <= pixel[1] < image.shape[1])


def outermost(image: np.ndarray) -> list[tuple[int, int]]:
    """Pixels of nuclei, and of background, that have a 4-neighbour of another id, and all background."""
    found = []
    for row, col in np.ndindex(image.shape):
        around = [(row + down, col + right) for down, right in STEPS]
        differs = any(inside(image, p) and image[p] != image[row, col] for p in around)
        if differs or image[row, col] == 0:
            found.append((row, col))
    return found


def markers_of(true: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Steps 1 and 2 of `fill_perfectly`."""
    edge = outermost(pred)
    found = np.zeros_like(pred)
    for piece in pieces(pred):
        depth = {p: min((squared(p, q) for q in edge), default=0) for p in piece}
        core = {p for p in piece if 4 * depth[p] >= max(depth.values())}
        alone = np.zeros_like(pred)
        for p in piece:
            alone[p] = int(true[p] > 0)
        for part in pieces(alone):
            if part & core:
                for p in part:
                    found[p] = pred[p]
    return found


@settings(max_examples=150, deadline=None)
@given(labels)
@example((np.array([[0, 1]], np.int32), np.array([[1, 0]], np.int32)))
def test_perfect_splitting_is_its_definition(pair: tuple[np.ndarray, np.ndarray]) -> None:
    true, pred = pair
    split = split_perfectly(true, pred)
    np.testing.assert_array_equal(split > 0, pred > 0)
    both = [(int(r), int(c)) for r, c in np.argwhere((true > 0) & (pred > 0))]
    touching = {pred[p] for p in both}
    for row, col in np.argwhere(pred > 0).tolist():
        if true[row, col]:
            assert split[row, col] == true[row, col]
        elif pred[row, col] in touching:
            nearest = min(squared((row, col), p) for p in both)
            assert split[row, col] in {true[p] for p in both if squared((row, col), p) == nearest}
    alone = (pred > 0) & ~np.isin(pred, list(touching))
    assert same_partition(np.append(split[alone], 0), np.append(pred[alone], 0))
    assert not np.isin(split[alone], true[true > 0]).any()
    assert aji(true, split) == pytest.approx(pixel_jaccard(true, pred), nan_ok=True)


@settings(max_examples=150, deadline=None)
@given(labels)
def test_a_perfect_foreground_is_its_definition(pair: tuple[np.ndarray, np.ndarray]) -> None:
    true, pred = pair
    filled, markers = fill_perfectly(true, pred), markers_of(true, pred)
    np.testing.assert_array_equal(filled[markers > 0], markers[markers > 0])
    foreground = (true > 0).astype(np.int32)
    for part in pieces(foreground):
        reached = {int(markers[p]) for p in part} - {0}
        assert {int(filled[p]) for p in part} <= (reached or {0})
        assert all(filled[p] > 0 for p in part) == bool(reached)
    assert not filled[true == 0].any()


def test_markers_meet_half_way() -> None:
    true = np.ones((1, 9), np.int32)
    pred = np.zeros((1, 9), np.int32)
    pred[0, 0], pred[0, 8] = 5, 7
    filled = fill_perfectly(true, pred)[0]
    assert filled[:4].tolist() == [5] * 4
    assert filled[5:].tolist() == [7] * 4


def test_a_rim_marks_no_nucleus_and_a_core_does() -> None:
    true, pred = np.zeros((2, 20, 30), np.int32)
    true[2:12, 2:12], true[2:12, 14:24] = 1, 2
    pred[4:10, 4:15] = 9  # its core lies in the first, its rim reaches the second
    filled = fill_perfectly(true, pred)
    assert (filled[true == 1] == 9).all()
    assert not filled[true == 2].any()
    assert decompose(compare(true, pred)).perfect_foreground == aji(true, filled) == 0.5


@settings(max_examples=100, deadline=None)
@given(labels)
def test_a_perfect_prediction_is_perfect_under_both(pair: tuple[np.ndarray, np.ndarray]) -> None:
    true = pair[0]
    renamed = np.where(true > 0, 7 - true, 0)
    found = decompose(compare(true, renamed))
    perfect = (1.0,) * 4 if true.any() else (math.nan,) * 4
    fractions = (found.perfect_splitting, found.perfect_foreground, found.precision, found.recall)
    np.testing.assert_equal(fractions, perfect)
    assert (found.true_positives, found.missed, found.false_positives) == (
        np.unique(true[true > 0]).size,
        0,
        0,
    )


def test_counts_and_fractions_of_a_small_case() -> None:
    true, pred = np.zeros((2, 6, 12), np.int32)
    true[0:4, 0:4], true[0:4, 8:12] = 1, 2
    pred[0:4, 0:3], pred[5, 5:9] = 1, 2
    found = decompose(compare(true, pred))
    assert (found.precision, found.recall) == (12 / 16, 12 / 32)
    assert (found.true_positives, found.missed, found.false_positives) == (1, 1, 1)
    empty = decompose(compare(true, np.zeros_like(pred)))
    assert (empty.perfect_splitting, empty.perfect_foreground, empty.precision, empty.recall) == (0,) * 4
    nothing = decompose(compare(np.zeros_like(true), np.zeros_like(pred)))
    over = summary([found, empty, nothing])
    assert over["recall"] == 12 / 64
    assert (over["true_positives"], over["missed"], over["false_positives"]) == (1, 3, 1)


def test_ids_of_any_dtype_do_not_overflow() -> None:
    true = np.zeros((4, 8), np.uint8)
    true[:2, :3] = 250
    pred = np.zeros((4, 8), np.uint8)
    pred[3, 5:] = 250
    assert set(np.unique(split_perfectly(true, pred))) == {0, 500}
    pred[0, 0] = 3
    assert set(np.unique(split_perfectly(true, pred))) == {0, 250, 500}
