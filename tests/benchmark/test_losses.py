"""Losses against plain arithmetic, undefined scores, and the picture of them."""

from __future__ import annotations

import math
import statistics

import imagecodecs
import numpy as np
import pytest
from scipy.stats import bootstrap

from wsi_nucssl.benchmark.loss_picture import draw_losses
from wsi_nucssl.benchmark.losses import loss_of

RNG = np.random.default_rng(0)
PLAIN = {str(n): float(v) for n, v in enumerate(RNG.uniform(0.5, 0.7, 12))}
STRESSED = {name: value - float(RNG.normal(0.05, 0.03)) for name, value in PLAIN.items()}


def test_a_loss_is_paired_by_image() -> None:
    loss = loss_of(PLAIN, STRESSED)
    losses = [PLAIN[name] - STRESSED[name] for name in PLAIN]
    assert loss.mean == pytest.approx(statistics.mean(STRESSED.values()))
    assert loss.paired == pytest.approx(statistics.mean(losses)) == pytest.approx(loss.loss)
    assert loss.error == pytest.approx(statistics.stdev(losses) / math.sqrt(12))
    assert STRESSED[loss.worst] == min(STRESSED.values())
    theirs = bootstrap((losses,), np.mean, method="percentile", n_resamples=20_000, rng=0).confidence_interval
    assert loss.interval == pytest.approx((theirs.low, theirs.high), abs=0.001)


def test_undefined_scores_are_left_out_of_pairs() -> None:
    loss = loss_of({"a": 0.5, "b": math.nan, "c": 0.75}, {"a": 0.25, "b": 0.0, "c": math.nan})
    assert (loss.mean, loss.worst) == (0.125, "b")
    assert loss.loss == 0.625 - 0.125
    assert loss.paired == 0.25
    assert math.isnan(loss.error)
    empty = loss_of({"a": math.nan}, {"a": math.nan})
    assert empty.worst == ""
    assert empty.as_json() == {
        "mean": None,
        "loss": None,
        "paired_loss": None,
        "standard_error": None,
        "interval": [None, None],
        "worst": None,
        "images": {"a": None},
    }


def test_the_picture_shows_every_method_in_its_colour() -> None:
    lost = {"blur": loss_of(PLAIN, STRESSED), "frame": loss_of(PLAIN, dict.fromkeys(PLAIN, 0.1))}
    gained = {"blur": loss_of(STRESSED, PLAIN), "frame": loss_of({"a": math.nan}, {"a": math.nan})}
    data = draw_losses({"one": lost, "other": gained}, {"one": 0.6, "other": math.nan}, "A title")
    assert draw_losses({"one": lost, "other": gained}, {"one": 0.6, "other": math.nan}, "A title") == data
    picture = imagecodecs.png_decode(data)[..., :3]
    assert picture.shape[1] == 1200
    for colour in ((31, 119, 180), (255, 127, 14)):
        assert (picture == colour).all(axis=-1).sum() > 500
