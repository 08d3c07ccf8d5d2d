from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from wsi_nucssl.pretext.count_ranking import CountRankingLoss
from wsi_nucssl.pretext.scale_triplet import ScaleTripletLoss


def triplet_by_hand(
    a: NDArray[np.float64], p: NDArray[np.float64], n: NDArray[np.float64], margin: float
) -> float:
    """Equation (1) as loops over triplets and dimensions, then the mean."""
    total = 0.0
    for i in range(len(a)):
        d_ap = d_an = 0.0
        for k in range(a.shape[1]):
            d_ap += (a[i, k] - p[i, k]) ** 2
            d_an += (a[i, k] - n[i, k]) ** 2
        total += max(0.0, d_ap - d_an + margin)
    return total / len(a)


@pytest.mark.parametrize("margin", [1.0, 0.3])
@pytest.mark.parametrize("spread", [0.01, 0.2, 3.0])
def test_scale_triplet_equals_the_formula(margin: float, spread: float) -> None:
    a, p, n = np.random.default_rng(0).normal(0, spread, (3, 17, 128))
    loss = ScaleTripletLoss(margin)(*(torch.from_numpy(x) for x in (a, p, n)))
    assert float(loss) == pytest.approx(triplet_by_hand(a, p, n, margin), rel=1e-5)


@pytest.mark.parametrize("margin", [1.0, 0.3])
def test_count_ranking_equals_the_formula(margin: float) -> None:
    positive, negative = np.random.default_rng(1).normal(0, 1, (2, 23))
    expected = sum(max(0.0, n - p + margin) for p, n in zip(positive, negative, strict=True)) / 23
    loss = CountRankingLoss(margin)(torch.from_numpy(positive), torch.from_numpy(negative))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_collapse_costs_exactly_the_margin() -> None:
    same = torch.ones(4, 128)
    assert float(ScaleTripletLoss()(same, same, same)) == 1.0
    assert float(CountRankingLoss()(torch.zeros(4), torch.zeros(4))) == 1.0


def test_a_satisfied_pair_has_no_gradient_and_a_violated_one_has() -> None:
    positive = torch.tensor([5.0, 0.0], requires_grad=True)
    CountRankingLoss()(positive, torch.tensor([0.0, 5.0])).backward()
    assert positive.grad is not None
    assert positive.grad.tolist() == [0.0, -0.5]


def test_half_precision_embeddings_are_compared_in_float32() -> None:
    far = torch.full((2, 128), 300.0, dtype=torch.bfloat16)
    loss = ScaleTripletLoss()(far, far, torch.zeros_like(far))
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
