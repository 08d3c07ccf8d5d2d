"""Speed of the metrics on a tile as crowded as the densest of MoNuSeg."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from wsi_nucssl.metrics import aji, score

pytestmark = pytest.mark.benchmark


def crowded_pair() -> tuple[np.ndarray, np.ndarray]:
    """Two 1000 × 1000 label images (row, col) of 900 discs of radius 8 to 14; one jittered by 4 px."""
    rng = np.random.default_rng(5)
    true, pred = np.zeros((1000, 1000), np.int32), np.zeros((1000, 1000), np.int32)
    for number, (row, col) in enumerate(np.ndindex(30, 30), start=1):
        centre = np.array([row, col]) * 33 + 18
        for labels, shift in ((true, np.zeros(2, int)), (pred, rng.integers(-4, 5, 2))):
            radius = rng.integers(8, 15)
            y, x = np.ogrid[-15:16, -15:16]
            top, left = np.maximum(centre + shift - 15, 0)
            view = labels[top : top + 31, left : left + 31]
            view[(y**2 + x**2 <= radius**2)[: view.shape[0], : view.shape[1]]] = number
    return true, pred


def test_aji_of_900_nuclei_takes_less_than_50_ms(benchmark: BenchmarkFixture) -> None:
    true, pred = crowded_pair()
    assert len(np.unique(true)) == len(np.unique(pred)) == 901
    value = benchmark(aji, true, pred)
    assert 0.2 < value < 0.9
    if benchmark.enabled:
        assert benchmark.stats is not None
        assert benchmark.stats.stats.median < 0.050


def test_all_measures_of_900_nuclei_take_less_than_half_a_second(benchmark: BenchmarkFixture) -> None:
    true, pred = crowded_pair()
    scores = benchmark.pedantic(score, (true, pred), rounds=5)
    assert scores.hausdorff > 0
    if benchmark.enabled:
        assert benchmark.stats is not None
        assert benchmark.stats.stats.median < 0.5
