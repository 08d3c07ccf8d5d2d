"""PQ by type is PQ of the label images that hold the nuclei of a type alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_nucssl.metrics import pq
from wsi_nucssl.metrics.by_type import pq_by_type
from wsi_nucssl.metrics.contingency import contingency

NAMES = ("a", "b", "c")
label_images = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).integers(0, 7, (6, 5)).repeat(3, axis=0).repeat(2, axis=1)
)


def alone(labels: np.ndarray, types: dict[int, str], name: str) -> np.ndarray:
    return np.where(np.isin(labels, [label for label, each in types.items() if each == name]), labels, 0)


@settings(max_examples=100, deadline=None)
@given(label_images, st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.2, 1.0]))
def test_each_type_is_scored_as_if_it_were_alone(true: np.ndarray, seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    pred = np.where(rng.random(true.shape) < noise, rng.integers(0, 7, true.shape), true)
    true_types, pred_types = ({label: str(rng.choice(NAMES)) for label in range(1, 7)} for _ in range(2))
    found = pq_by_type(contingency(true, pred), true_types, pred_types, NAMES)
    assert tuple(found) == NAMES
    for name in NAMES:
        true_alone, pred_alone = alone(true, true_types, name), alone(pred, pred_types, name)
        expected = pq(true_alone, pred_alone).pq if true_alone.any() else math.nan
        assert found[name] == pytest.approx(expected, nan_ok=True)


TRUE = np.array([[1, 1, 1, 0, 2, 2, 2, 0, 3, 3]])


def test_a_type_that_is_not_there_has_no_score() -> None:
    """Neither where nothing of it was predicted, nor where something was."""
    table = contingency(TRUE, TRUE)
    types: dict[int, str | None] = {1: "a", 2: "a", 3: "b"}
    assert pq_by_type(table, types, types, NAMES) == pytest.approx(
        {"a": 1, "b": 1, "c": math.nan}, nan_ok=True
    )
    wrong = {1: "a", 2: "c", 3: "b"}
    found = pq_by_type(table, types, wrong, NAMES)
    assert found == pytest.approx({"a": 2 / 3, "b": 1, "c": math.nan}, nan_ok=True)


def test_a_nucleus_of_unknown_type_is_neither_right_nor_wrong() -> None:
    table = contingency(TRUE, TRUE)
    pred = dict.fromkeys((1, 2, 3), "a")
    for unknown in ({1: "a", 2: None, 3: None}, {1: "a"}):
        assert pq_by_type(table, unknown, pred, ["a"]) == {"a": 1.0}


def test_no_type_found_is_worth_nothing() -> None:
    empty = np.zeros_like(TRUE)
    assert pq_by_type(contingency(TRUE, empty), {1: "a", 2: "a", 3: "b"}, {}, NAMES) == pytest.approx(
        {"a": 0, "b": 0, "c": math.nan}, nan_ok=True
    )
