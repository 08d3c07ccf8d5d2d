"""Metrics against the published cases and against plain loops written from the formulas."""

from __future__ import annotations

import dataclasses
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.metrics import reference
from wsi_nucssl import metrics
from wsi_nucssl.errors import UsageError

NAMES = {
    "aji": "aji_kumar",
    "aji_plus": "aji_plus",
    "dice1": "dice1",
    "dice2": "dice2",
    "pixel_jaccard": "pixel_jaccard",
    "pq": "pq",
    "sq": "sq",
    "dq": "dq",
    "hausdorff": "hausdorff_mean_iou_gt_0_5",
}
SPARSE_IDS = np.array([0, 3, 90, 7, 70_000])
"""Ids with gaps, so that an id is never its own index."""


def label_images(ids: int = 4) -> st.SearchStrategy[np.ndarray]:
    """Small label images with gaps among the ids; many overlaps, often an empty side."""
    compact = hnp.arrays(np.int64, (5, 6), elements=st.integers(0, ids), fill=st.just(0))
    return compact.map(lambda labels: SPARSE_IDS[labels])


def test_agrees_with_the_exact_values_of_the_published_cases(metric_cases: Path) -> None:
    cases = json.loads((metric_cases / "expected.json").read_text())["cases"]
    assert len(cases) == 8
    for name, case in cases.items():
        expected = case["definitions_exact"]
        images = np.load(metric_cases / f"{name}.npz")
        scores = dict(metrics.score(images["true"], images["pred"]))
        for ours, theirs in NAMES.items():
            value = expected[theirs]
            if value is None:  # 0/0 there; see the rule in the package's docstring
                value = 0.0 if ours == "dice2" else math.nan
            assert scores[ours] == pytest.approx(value, abs=1e-9, nan_ok=True), (name, ours)
        panoptic = metrics.pq(images["true"], images["pred"])
        assert [panoptic.tp, panoptic.fp, panoptic.fn] == expected["tp_fp_fn_at_0_5"], name
        assert metrics.f1(images["true"], images["pred"], 0.75) == pytest.approx(
            expected["f1_at_0_75"], abs=1e-9
        )


@given(label_images(), label_images())
def test_agrees_with_plain_loops(true: np.ndarray, pred: np.ndarray) -> None:
    t, p = reference.nuclei(true), reference.nuclei(pred)
    for name in ("aji", "dice1", "dice2", "pixel_jaccard", "hausdorff"):
        expected = getattr(reference, name)(t, p)
        assert getattr(metrics, name)(true, pred) == pytest.approx(expected, abs=1e-12, nan_ok=True), name


@given(label_images(3), label_images(3))
def test_aji_plus_uses_a_best_matching(true: np.ndarray, pred: np.ndarray) -> None:
    t, p = reference.nuclei(true), reference.nuclei(pred)
    possible = [reference.aji_of_matching(t, p, chosen) for chosen in reference.matchings(t, p, Fraction(0))]
    value = metrics.aji_plus(true, pred)
    assert any(value == pytest.approx(expected, abs=1e-12, nan_ok=True) for expected in possible)


@given(label_images(), label_images(), st.sampled_from([0.5, 0.6, 0.75, 0.9]))
def test_pq_agrees_with_plain_loops(true: np.ndarray, pred: np.ndarray, threshold: float) -> None:
    expected = reference.pq(reference.nuclei(true), reference.nuclei(pred), threshold)
    ours = dataclasses.astuple(metrics.pq(true, pred, threshold))
    assert ours == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(label_images(3), label_images(3), st.sampled_from([0.0, 0.25, 0.4]))
def test_low_thresholds_match_one_to_one(true: np.ndarray, pred: np.ndarray, threshold: float) -> None:
    t, p = reference.nuclei(true), reference.nuclei(pred)
    sizes = {len(chosen) for chosen in reference.matchings(t, p, Fraction(threshold))}
    panoptic = metrics.pq(true, pred, threshold)
    assert panoptic.tp in sizes
    assert (panoptic.tp + panoptic.fp, panoptic.tp + panoptic.fn) == (len(p), len(t))


@given(label_images())
def test_a_perfect_prediction_scores_one(true: np.ndarray) -> None:
    assume(true.any())
    scores = dict(metrics.score(true, true))
    assert scores.pop("hausdorff") == 0
    assert scores["dice2"] == 1
    assert set(scores.values()) == {1.0}


@given(label_images(), label_images())
def test_ids_and_dtypes_do_not_matter(true: np.ndarray, pred: np.ndarray) -> None:
    renamed = np.searchsorted(np.sort(SPARSE_IDS), pred).astype(np.uint8)  # same order, no gaps
    spread = true * 10**12
    assert dict(metrics.score(true, pred)) == pytest.approx(dict(metrics.score(spread, renamed)), nan_ok=True)


def test_empty_sides() -> None:
    empty, one = np.zeros((4, 4), np.int32), np.eye(4, dtype=np.int32)
    both = dict(metrics.score(empty, empty))
    assert all(math.isnan(value) for value in both.values())
    for true, pred in ((empty, one), (one, empty)):
        scores = dict(metrics.score(true, pred))
        assert math.isnan(scores.pop("hausdorff"))
        assert set(scores.values()) == {0.0}


def test_an_image_of_no_pixels_is_empty() -> None:
    nothing = np.zeros((0, 5), np.int32)
    assert math.isnan(metrics.aji(nothing, nothing))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (np.zeros((4, 5), np.int32), "differ in size"),
        (np.zeros((4, 4)), "not a label image"),
        (np.zeros((4, 4), bool), "not a label image"),
        (np.zeros((4, 4, 1), np.int32), "not a label image"),
        (np.full((4, 4), -1), "negative"),
    ],
)
def test_refuses_what_is_no_label_image(bad: np.ndarray, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        metrics.aji(np.zeros((4, 4), np.int32), bad)


def test_refuses_an_impossible_threshold() -> None:
    labels = np.ones((2, 2), np.int32)
    with pytest.raises(UsageError, match="threshold"):
        metrics.pq(labels, labels, iou=1.0)
