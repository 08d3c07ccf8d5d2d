"""Redundancy of feature maps: against plain loops, at its ends, and as a loss."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wsi_nucssl.pretext.redundancy import POSITIONS, collapse, redundancy


def by_loops(features: torch.Tensor) -> float:
    """log(C / D), D = C² / Σ r², by numpy's correlation coefficients."""
    channels = features.shape[1]
    signals = [features[:, c].numpy().ravel() for c in range(channels)]
    total = sum(np.corrcoef(a, b)[0, 1] ** 2 for a in signals for b in signals)
    return math.log(channels / (channels**2 / total))


@given(st.integers(1, 3), st.integers(2, 6), st.integers(3, 9), st.integers(0, 2**16))
def test_equals_plain_loops(images: int, channels: int, side: int, seed: int) -> None:
    features = torch.randn(images, channels, side, side, generator=torch.Generator().manual_seed(seed))
    features[:, 0] += features[:, 1]
    assert float(redundancy(features)) == pytest.approx(by_loops(features), abs=1e-3)


def test_is_zero_for_independent_channels_and_log_c_for_one_signal() -> None:
    same = torch.randn(2, 1, 16, 16).expand(2, 8, 16, 16)
    assert float(redundancy(same)) == pytest.approx(math.log(8), abs=1e-2)
    noise = torch.randn(4, 8, 64, 64)
    assert float(redundancy(noise)) == pytest.approx(0, abs=0.02)


def test_neither_scale_nor_offset_nor_silence_of_a_channel_matters() -> None:
    features = torch.randn(2, 6, 12, 12)
    moved = features * torch.tensor([1.0, 30, 1, 2, 0.5, 1])[:, None, None] + 7
    assert float(redundancy(moved)) == pytest.approx(float(redundancy(features)), abs=1e-3)
    silent = features.clone()
    silent[:, 3] = 0
    silent.requires_grad_()
    redundancy(silent).backward()  # type: ignore[no-untyped-call]
    assert silent.grad is not None
    assert bool(torch.isfinite(silent.grad).all())


def test_large_maps_are_looked_at_in_part() -> None:
    features = torch.randn(2, 4, 256, 256, requires_grad=True)
    redundancy(features).backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    seen = int((features.grad.abs().sum(dim=1) > 0).sum())
    assert POSITIONS <= seen <= 2 * POSITIONS


def test_descent_makes_channels_independent() -> None:
    generator = torch.Generator().manual_seed(0)
    signals = torch.randn(4, 3, 32, 32, generator=generator)
    mixing = torch.nn.Conv2d(3, 3, 1)
    torch.nn.init.constant_(mixing.weight, 1.0)
    with torch.no_grad():
        mixing.weight += 0.1 * torch.randn(3, 3, 1, 1, generator=generator)
    before = float(redundancy(mixing(signals)).detach())
    optimiser = torch.optim.Adam(mixing.parameters(), 0.05)
    for _ in range(100):
        optimiser.zero_grad()
        redundancy(mixing(signals)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert before > 0.9
    assert float(redundancy(mixing(signals)).detach()) < 0.05


def test_features_that_repeat_one_another_are_warned_of() -> None:
    def scalars(redundancy: float) -> Mapping[str, float]:
        return {"loss": 0.1, **{f"redundancy_{level}": redundancy for level in range(1, 6)}}

    assert collapse(scalars(1.5), scalars(2.1)) is None
    assert collapse(scalars(1.5), scalars(0.1)) is None
    warning = collapse(scalars(1.5), scalars(3.0))
    assert warning is not None
    assert "20 channels for each, 4 at the start" in warning
    assert "decorrelation" in warning
