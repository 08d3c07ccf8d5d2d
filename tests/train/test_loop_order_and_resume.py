"""The loop: batches in order whatever the threads, exact resume, a soft stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from wsi_nucssl.errors import Stopped, WeightsError
from wsi_nucssl.train.distributed import make_accelerator
from wsi_nucssl.train.interval import Interval
from wsi_nucssl.train.loop import Loop
from wsi_nucssl.train.optimiser import running_average
from wsi_nucssl.train.recipe import Optimisation
from wsi_nucssl.train.streams import Batch


class Regression:
    """Fit noise; remembers the order in which batches were used."""

    def __init__(self, *, uneven: bool = False, stop_at: int = -1) -> None:
        self.used: list[int] = []
        self.uneven, self.stop_at = uneven, stop_at

    def batch(self, index: int) -> Batch:
        if self.uneven and index % 3 == 0:
            time.sleep(0.01)
        generator = torch.Generator().manual_seed(index)
        return {"x": torch.randn(4, 3, 8, 8, generator=generator), "index": torch.full((4,), index)}

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        index = int(batch["index"][0])
        self.used.append(index)
        if index == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        loss = (model(batch["x"]) - batch["x"].mean(dim=1, keepdim=True)).square().mean()
        return loss, {"double": 2 * loss}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))


def loop(task: Regression, *, steps: int = 12, threads: int = 1, ema: float = 0.9) -> Loop:
    settings = Optimisation(learning_rate=0.01, warmup_steps=2, ema_decay=ema)
    return Loop(network(), task, steps, settings, make_accelerator("cpu", "fp32"), threads)


def ignore(_: Interval) -> None: ...


def same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("threads", [1, 4])
def test_batches_come_in_order_whatever_the_threads(tmp_path: Path, threads: int) -> None:
    task = Regression(uneven=True)
    loop(task, threads=threads).run(5, ignore, tmp_path / "state.pt")
    assert task.used == list(range(12))


def test_intervals_report_means_and_the_last_one_ends_it(tmp_path: Path) -> None:
    seen: list[Interval] = []
    loop(Regression()).run(5, seen.append, tmp_path / "state.pt")
    assert [progress.step for progress in seen] == [5, 10, 12]
    for progress in seen:
        assert progress.scalars["double"] == pytest.approx(2 * progress.scalars["loss"], rel=1e-5)
        assert 0 <= progress.loader_fraction <= 1


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("kept", [1, 5, 11])
def test_a_resumed_loop_ends_with_the_same_weights(tmp_path: Path, kept: int, ema: float) -> None:
    undisturbed = loop(Regression(), ema=ema)
    undisturbed.run(100, ignore, tmp_path / "unused.pt")

    class Killed(Exception):
        pass

    def save_then_die(progress: Interval) -> None:
        if progress.step == kept:
            first.save(tmp_path / "state.pt")
        if progress.step == kept + 1:
            raise Killed

    first = loop(Regression(), ema=ema)
    with pytest.raises(Killed):
        first.run(1, save_then_die, tmp_path / "state.pt")
    task = Regression()
    resumed = loop(task, ema=ema)
    resumed.load(tmp_path / "state.pt")
    resumed.run(100, ignore, tmp_path / "state.pt")
    assert task.used == list(range(kept, 12))
    assert same(resumed.result, undisturbed.result)
    assert same(resumed.model, undisturbed.model)


def test_ctrl_c_finishes_the_step_saves_and_says_so(tmp_path: Path) -> None:
    undisturbed = loop(Regression())
    undisturbed.run(100, ignore, tmp_path / "unused.pt")
    state = tmp_path / "state.pt"
    with pytest.raises(Stopped) as caught:
        loop(Regression(stop_at=6)).run(100, ignore, state)
    assert caught.value.exit_code == 130
    resumed = loop(Regression())
    resumed.load(state)
    assert resumed.step == 7
    resumed.run(100, ignore, state)
    assert same(resumed.result, undisturbed.result)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def foreign(path: Path) -> None:
    path.write_text("not a state")


def of_another_model(path: Path) -> None:
    torch.save({"step": 1, "model": nn.Linear(2, 2).state_dict(), "average": None, "optimiser": {}}, path)


def a_list(path: Path) -> None:
    torch.save([1, 2], path)


@pytest.mark.parametrize("harm", [cut_off, foreign, of_another_model, a_list])
def test_a_damaged_state_is_named_with_a_remedy(tmp_path: Path, harm: object) -> None:
    state = tmp_path / "state.pt"
    loop(Regression()).save(state)
    assert callable(harm)
    harm(state)
    with pytest.raises(WeightsError, match="`overwrite`") as caught:
        loop(Regression()).load(state)
    assert caught.value.path == str(state)


def test_the_average_lags_and_off_means_the_weights_themselves(tmp_path: Path) -> None:
    averaged, plain = loop(Regression(), ema=0.9), loop(Regression(), ema=0.0)
    for each in (averaged, plain):
        each.run(100, ignore, tmp_path / "state.pt")
    assert not same(averaged.result, averaged.model)
    assert plain.result is plain.model


@pytest.mark.parametrize("decay", [0.3, 0.99])
def test_the_average_forgets_the_first_steps_soon(tmp_path: Path, decay: float) -> None:
    """Against the recursion in plain numbers: decays grow as (1 + n) / (10 + n), up to the one that is set."""
    trained = loop(Regression(), steps=8, ema=decay)
    weight: list[float] = []

    def note(_: Interval) -> None:
        weight.append(float(next(trained.model.parameters()).detach().flatten()[0]))

    trained.run(1, note, tmp_path / "state.pt")
    average = weight[0]
    for steps, value in enumerate(weight[1:], start=1):
        share = min(decay, (1 + steps) / (10 + steps))
        average = share * average + (1 - share) * value
    assert len(set(weight)) == 8
    assert float(next(trained.result.parameters()).detach().flatten()[0]) == pytest.approx(average, rel=1e-5)


def test_the_average_follows_every_weight_and_every_buffer() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = running_average(model, 0.9)
    assert average is not None
    plain = {name: value.clone().double() for name, value in model.state_dict().items()}
    for step in range(12):
        with torch.no_grad():
            for value in model.parameters():
                value.add_(torch.randn_like(value))
        model(torch.randn(8, 2))
        average.update_parameters(model)
        decay = min(0.9, (1 + step) / (10 + step)) if step else 0.0
        for name, value in model.state_dict().items():
            plain[name] = (
                decay * plain[name] + (1 - decay) * value if value.is_floating_point() else value.clone()
            )
    for name, value in average.module.state_dict().items():
        torch.testing.assert_close(value.double(), plain[name].double(), rtol=1e-5, atol=1e-6)
