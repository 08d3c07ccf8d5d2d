"""What a benchmark and its tables rely on, whichever the metric.

from wsi_nucssl.testing.metrics import MetricTests

class TestMyMetric(MetricTests):
    name = "mine"
"""

from __future__ import annotations

import json
import math
from typing import ClassVar

import numpy as np
import pytest

from wsi_nucssl.metrics.contingency import Labels, compare
from wsi_nucssl.metrics.metric import PERCENT, UNDEFINED, Metric
from wsi_nucssl.metrics.registry import METRICS, all_metrics

SHAPE = (48, 64)
"""(rows, cols) of the label images."""


def make_labels(seed: int, count: int = 9) -> Labels:
    """Rectangles of many sizes that lie over each other; int32 `SHAPE`, with gaps between the ids."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.int32)
    for number in range(count):
        height, width = rng.integers(4, 16, 2)
        row, col = rng.integers(0, SHAPE[0] - height), rng.integers(0, SHAPE[1] - width)
        labels[row : row + height, col : col + width] = 3 * number + 2
    return labels


def make_pair(seed: int) -> tuple[Labels, Labels]:
    """A label image, and what might be predicted for it: moved, one nucleus missed, one invented, two merged."""
    true = make_labels(seed)
    pred = np.roll(true, (1, 2), axis=(0, 1))
    first, second, third, *_ = np.unique(pred)[1:]
    pred[pred == first] = 0
    pred[pred == second] = third
    pred[:5, :7] = 99
    return true, pred


class MetricTests:
    """Inherit it and name the metric.

    Attributes
    ----------
    name : str
        The metric's name in `METRICS`.
    best, worst : float
        Value of two images that are the same, and the end of the range on the other side; `math.inf` if it has none.
    of_nothing : float
        Where both images are empty: nan, which keeps such images out of means, or what is measured then.
    of_missing : float, optional
        Where one of them is empty, or nothing overlaps; None if that depends on what is missing.
    """

    name: ClassVar[str]
    best: ClassVar[float] = 1.0
    worst: ClassVar[float] = 0.0
    of_nothing: ClassVar[float] = math.nan
    of_missing: ClassVar[float | None] = 0.0

    @pytest.fixture
    def metric(self) -> Metric:
        """The metric under test."""
        return METRICS.get(self.name)

    def assert_in_range(self, value: float) -> None:
        """Between best and worst, or undefined."""
        low, high = sorted((self.best, self.worst))
        assert math.isnan(value) or low <= value <= high

    def test_it_says_what_it_is(self, metric: Metric) -> None:
        """One line each, under its own name, in every table."""
        assert metric.name == self.name
        assert metric in all_metrics()
        for text in (metric.title, metric.help, metric.unit.symbol):
            assert text == text.strip() != ""
            assert "\n" not in text
        assert metric.higher_is_better == (self.best > self.worst)

    def test_its_unit_is_that_of_its_values(self, metric: Metric) -> None:
        """A fraction is read in %, a number in its own unit; both go to JSON."""
        assert metric.text(self.best) == f"{metric.unit.scale * self.best:.2f}".replace("-", "−")
        assert metric.text(math.nan) == UNDEFINED
        assert json.loads(json.dumps(metric.as_json(), allow_nan=False))["unit"] == metric.unit.symbol
        if metric.unit == PERCENT:
            assert {self.best, self.worst} == {0.0, 1.0}

    @pytest.mark.parametrize("seed", range(5))
    def test_the_same_image_is_the_best(self, metric: Metric, seed: int) -> None:
        """A copy, not the same array."""
        labels = make_labels(seed)
        assert metric.of(compare(labels, labels.copy())) == pytest.approx(self.best)

    @pytest.mark.parametrize("seed", range(5))
    def test_what_is_wrong_costs_something(self, metric: Metric, seed: int) -> None:
        """Every value lies in the range, and not all of them are the best."""
        true, pred = make_pair(seed)
        values = [
            metric.of(compare(true, other))
            for other in (pred, make_labels(seed + 100), np.where(true > 12, true, 0), true[::-1])
        ]
        for value in values:
            self.assert_in_range(value)
        assert any(value != pytest.approx(self.best) for value in values)

    @pytest.mark.parametrize("seed", range(5))
    def test_ids_mean_nothing(self, metric: Metric, seed: int) -> None:
        """Other ids, in another order, of another type of integer: the same value."""
        true, pred = make_pair(seed)
        value = float(metric.of(compare(true, pred)))
        rng = np.random.default_rng(seed)
        for dtype in ("uint8", "int64"):
            of_true, of_pred = (np.append(0, 1 + rng.permutation(100)).astype(dtype) for _ in range(2))
            assert metric.of(compare(of_true[true], of_pred[pred])) == pytest.approx(value, nan_ok=True)

    @pytest.mark.parametrize("seed", range(5))
    def test_direction_means_nothing(self, metric: Metric, seed: int) -> None:
        """Rows and columns are alike, and so are left and right."""
        true, pred = make_pair(seed)
        value = float(metric.of(compare(true, pred)))
        for turned in ((true.T, pred.T), (true[:, ::-1], pred[:, ::-1])):
            assert metric.of(compare(*turned)) == pytest.approx(value, nan_ok=True)

    def test_both_empty(self, metric: Metric) -> None:
        """As stated, without a warning."""
        empty = np.zeros(SHAPE, np.int32)
        assert metric.of(compare(empty, empty)) == pytest.approx(self.of_nothing, nan_ok=True)

    def test_one_empty_or_nothing_overlaps(self, metric: Metric) -> None:
        """As stated, without a warning."""
        labels, empty = make_labels(0), np.zeros(SHAPE, np.int32)
        left, right = labels.copy(), labels.copy()
        left[:, 32:], right[:, :32] = 0, 0
        for pair in ((labels, empty), (empty, labels), (left, right)):
            value = float(metric.of(compare(*pair)))
            self.assert_in_range(value)
            if self.of_missing is not None:
                assert value == pytest.approx(self.of_missing, nan_ok=True)

    def test_the_images_are_left_alone(self, metric: Metric) -> None:
        """All metrics are given the same ones, and the same value comes again."""
        true, pred = make_pair(0)
        before = true.tobytes(), pred.tobytes()
        pair = compare(true, pred)
        value = float(metric.of(pair))
        assert (true.tobytes(), pred.tobytes()) == before
        assert float(metric.of(pair)) == pytest.approx(value, abs=0, nan_ok=True)
