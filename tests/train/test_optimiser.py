"""The schedule, the groups of weight decay and the running average, each against its formula in plain numbers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from wsi_nucssl.models.encoders import build_encoder
from wsi_nucssl.train.optimiser import OptimiserName, learning_rate, make_optimiser, running_average
from wsi_nucssl.train.recipe import Optimisation


def by_formula(rate: float, warmup_steps: int, step: int, steps: int) -> float:
    """Warm-up over w steps, (t + 1) / w of the rate; then (1 + cos(π (t − w) / (T − w))) / 2 of it."""
    w = min(warmup_steps, max(1, steps // 10))
    if step < w:
        return rate * (step + 1) / w
    return rate * (1 + math.cos(math.pi * (step - w) / (steps - w))) / 2


@given(
    rate=st.floats(1e-5, 1.0), warmup_steps=st.integers(0, 300), steps=st.integers(2, 2000), data=st.data()
)
def test_the_rate_is_the_formula_point_by_point(
    rate: float, warmup_steps: int, steps: int, data: st.DataObject
) -> None:
    step = data.draw(st.integers(0, steps - 1))
    settings = Optimisation(learning_rate=rate, warmup_steps=warmup_steps)
    assert learning_rate(settings, step, steps) == pytest.approx(by_formula(rate, warmup_steps, step, steps))


def test_the_rate_at_points_worked_out_by_hand() -> None:
    settings = Optimisation(learning_rate=2.0, warmup_steps=10)
    rates = [learning_rate(settings, step, 110) for step in (0, 4, 9, 10, 35, 60, 85, 109)]
    expected = [0.2, 1.0, 2.0, 2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5), 1 - math.cos(math.pi / 100)]
    assert rates == pytest.approx(expected)


def test_a_warm_up_takes_at_most_a_tenth_of_the_run() -> None:
    settings = Optimisation(learning_rate=1.0, warmup_steps=1000)
    rates = [learning_rate(settings, step, 100) for step in range(100)]
    assert rates.index(max(rates)) == 9
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_the_shortest_runs_have_a_rate(steps: int) -> None:
    settings = Optimisation(learning_rate=1.0, warmup_steps=200)
    rates = [learning_rate(settings, step, steps) for step in range(steps)]
    assert rates[0] == 1.0
    assert all(0 < rate <= 1 for rate in rates)


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_weight_decay_is_on_weights_of_convolutions_and_layers_only(name: OptimiserName) -> None:
    network = model()
    settings = Optimisation(learning_rate=0.25, weight_decay=0.03)
    optimiser = make_optimiser(name, network, settings)
    decay = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert {each: decay[id(p)] for each, p in network.named_parameters()} == {
        "0.weight": 0.03,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
        "4.weight": 0.03,
        "4.bias": 0.0,
    }
    assert {group["lr"] for group in optimiser.param_groups} == {0.25}


def test_every_parameter_of_an_encoder_is_in_one_group() -> None:
    encoder = build_encoder("efficientnet-lite0")
    groups = make_optimiser("adamw", encoder, Optimisation()).param_groups
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in encoder.parameters())


def test_a_lone_number_of_a_network_is_in_one_group_and_not_decayed() -> None:
    """Such as a temperature that is learnt."""
    network = nn.Linear(2, 2)
    network.register_parameter("temperature", nn.Parameter(torch.tensor(1.0)))
    decayed, plain = make_optimiser("adamw", network, Optimisation()).param_groups
    assert [p.ndim for p in decayed["params"]] == [2]
    assert sorted(p.ndim for p in plain["params"]) == [0, 1]
    assert (decayed["weight_decay"] > 0, plain["weight_decay"]) == (True, 0)


def test_sgd_has_its_momentum() -> None:
    """v ← 0.9 v + g, p ← p − η v: with a gradient of 1, p falls by η, then by 1.9 η."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 0.0)
    optimiser = make_optimiser("sgd", layer, Optimisation(learning_rate=0.1, weight_decay=0))
    seen = []
    for _ in range(2):
        layer.weight.grad = torch.ones_like(layer.weight)
        optimiser.step()
        seen.append(float(layer.weight.detach()))
    assert seen == pytest.approx([-0.1, -0.29])


def test_no_decay_means_no_average() -> None:
    assert running_average(model(), 0.0) is None


@pytest.mark.parametrize("decay", [0.5, 0.95, 0.998])
def test_the_average_warms_up_and_then_keeps_its_decay(decay: float) -> None:
    """a₀ = p₀, then aₙ = dₙ aₙ₋₁ + (1 − dₙ) pₙ with dₙ = min(decay, (1 + n) / (10 + n))."""
    layer = nn.Linear(1, 1, bias=False)
    average = running_average(layer, decay)
    assert average is not None
    expected = 0.0
    for step in range(30):
        value = float(step * step % 7)
        nn.init.constant_(layer.weight, value)
        average.update_parameters(layer)
        factor = 0.0 if step == 0 else min(decay, (1 + step) / (10 + step))
        expected = factor * expected + (1 - factor) * value
        assert float(next(average.module.parameters())) == pytest.approx(expected, rel=1e-5)
    assert int(average.n_averaged) == 30


def test_the_average_is_a_copy_that_needs_no_gradient_and_counts_batches() -> None:
    network = model()
    average = running_average(network, 0.9)
    assert average is not None
    assert not any(p.requires_grad for p in average.parameters())
    network(torch.randn(8, 3, 3, 3))
    average.update_parameters(network)
    assert average.module.state_dict()["1.num_batches_tracked"] == 1
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert average.module.state_dict()["0.weight"].abs().sum() > 0
