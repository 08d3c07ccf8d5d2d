"""The loop: parts of a batch, the schedule, clipping, several processes, states that are damaged."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from wsi_nucssl.errors import ResourceError, Stopped, UsageError, WeightsError
from wsi_nucssl.train.distributed import make_accelerator
from wsi_nucssl.train.interval import Interval
from wsi_nucssl.train.loop import Loop
from wsi_nucssl.train.optimiser import learning_rate
from wsi_nucssl.train.recipe import Optimisation

SETTINGS = Optimisation(warmup_steps=2, ema_decay=0.9)


class Regression:
    """Fit a line to points that are a function of the batch's index."""

    def __init__(self, fits: int = 99, batch_size: int = 8) -> None:
        self.fits, self.batch_size = fits, batch_size
        self.sizes: list[int] = []

    def batch(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(index)
        x = torch.randn(self.batch_size, 4, generator=generator)
        index_of_each = torch.full((self.batch_size,), float(index))
        return {"x": x, "y": x.sum(dim=1, keepdim=True), "index": index_of_each}

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        if len(batch["x"]) > self.fits:
            raise torch.cuda.OutOfMemoryError("too large")
        self.sizes.append(len(batch["x"]))
        error = (model(batch["x"]) - batch["y"]).square()
        return error.mean(), {"index": batch["index"].mean()}


def loop_for(task: Regression, steps: int = 6, **options: object) -> Loop:
    torch.manual_seed(0)
    return Loop(nn.Linear(4, 1), task, steps, SETTINGS, make_accelerator("cpu", "fp32"), **options)  # type: ignore[arg-type]


def weights(loop: Loop) -> list[Tensor]:
    return [value.clone() for value in loop.result.state_dict().values()]


def silent(_progress: Interval) -> None:
    pass


def test_a_batch_that_does_not_fit_is_worked_off_in_parts_with_the_same_gradient(tmp_path: Path) -> None:
    small, large = Regression(fits=2), Regression()
    in_parts, whole = loop_for(small), loop_for(large)
    in_parts.run(6, silent, tmp_path / "state.pt")
    whole.run(6, silent, tmp_path / "state.pt")
    assert set(small.sizes) == {2}
    assert set(large.sizes) == {8}
    for a, b in zip(weights(in_parts), weights(whole), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_parts_may_be_uneven(tmp_path: Path) -> None:
    task = Regression(fits=3, batch_size=7)
    loop = loop_for(task, steps=1)
    loop.run(1, silent, tmp_path / "state.pt")
    assert task.sizes[-4:] == [2, 2, 2, 1]


def test_uneven_micro_batches_give_the_gradient_of_the_whole(tmp_path: Path) -> None:
    uneven, whole = loop_for(Regression(fits=3, batch_size=7)), loop_for(Regression(batch_size=7))
    for each in (uneven, whole):
        each.run(6, silent, tmp_path / "state.pt")
    assert uneven.micro_batches == 4
    for a, b in zip(weights(uneven), weights(whole), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_each_step_has_the_rate_of_the_schedule(tmp_path: Path) -> None:
    loop = loop_for(Regression(), steps=30)
    rates: list[float] = []
    loop.run(1, lambda _: rates.append(loop.optimiser.param_groups[0]["lr"]), tmp_path / "state.pt")
    assert rates == [learning_rate(SETTINGS, step, 30) for step in range(30)]
    assert len(set(rates)) > 25


def test_gradients_are_clipped_to_the_norm_asked_for(tmp_path: Path) -> None:
    """The first step of SGD is the rate times the clipped gradient."""
    torch.manual_seed(0)
    settings = Optimisation(learning_rate=0.5, warmup_steps=0, ema_decay=0, clip_norm=0.01, weight_decay=0)
    loop = Loop(nn.Linear(4, 1), Regression(), 1, settings, make_accelerator("cpu", "fp32"), optimiser="sgd")
    before = torch.cat([value.flatten() for value in weights(loop)])
    loop.run(1, silent, tmp_path / "state.pt")
    after = torch.cat([value.flatten() for value in weights(loop)])
    assert float((after - before).norm()) == pytest.approx(0.5 * 0.01, rel=1e-3)


@pytest.mark.parametrize("batch_size", [1, 7, 8])
def test_a_device_too_small_for_one_row_is_an_error_with_a_remedy(tmp_path: Path, batch_size: int) -> None:
    with pytest.raises(ResourceError, match="`batch_size`"):
        loop_for(Regression(fits=0, batch_size=batch_size)).run(6, silent, tmp_path / "state.pt")


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_resumed_loop_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path, optimiser: str) -> None:
    undisturbed = loop_for(Regression(), optimiser=optimiser)
    undisturbed.run(2, silent, tmp_path / "other.pt")

    first = loop_for(Regression(), optimiser=optimiser)

    def stop_after_four(progress: Interval) -> None:
        if progress.step == 4:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped) as stopped:
        first.run(2, stop_after_four, tmp_path / "state.pt")
    assert stopped.value.exit_code == 130
    second = loop_for(Regression(), optimiser=optimiser, loader_threads=3)
    second.load(tmp_path / "state.pt")
    assert second.step == 4
    second.run(2, silent, tmp_path / "state.pt")
    assert all(torch.equal(a, b) for a, b in zip(weights(second), weights(undisturbed), strict=True))


def test_intervals_report_means_of_their_own_steps(tmp_path: Path) -> None:
    seen: list[Interval] = []
    losses: list[float] = []
    loop = loop_for(Regression(), steps=5)
    loop.run(1, lambda interval: losses.append(interval.scalars["loss"]), tmp_path / "state.pt")
    loop_for(Regression(), steps=5).run(2, seen.append, tmp_path / "state.pt")
    assert [(p.step, p.steps) for p in seen] == [(2, 2), (4, 2), (5, 1)]
    assert [p.scalars["index"] for p in seen] == [0.5, 2.5, 4.0]
    for interval, first in zip(seen, (0, 2, 4), strict=True):
        assert interval.scalars["loss"] == pytest.approx(
            sum(losses[first : first + interval.steps]) / interval.steps
        )


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"state\.pt"):
        loop_for(Regression()).load(tmp_path / "state.pt")


class Diverging(Regression):
    """The loss is no number from the fourth batch on."""

    def batch(self, index: int) -> dict[str, Tensor]:
        batch = super().batch(index)
        return batch if index < 3 else {**batch, "y": batch["y"] * float("nan")}


def test_a_loss_that_is_no_number_ends_the_run_and_is_not_kept(tmp_path: Path) -> None:
    loop = loop_for(Diverging())
    steps: list[int] = []
    with pytest.raises(UsageError, match=r"nan by step 4.*Lower the learning rate"):
        loop.run(2, lambda progress: steps.append(progress.step), tmp_path / "state.pt")
    assert steps == [2]


def test_a_disk_that_fills_up_under_the_state_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_state: object, path: Path) -> None:
        path.write_bytes(b"some")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(ResourceError, match=r"state\.pt.*`resume`"):
        loop_for(Regression()).save(tmp_path / "state.pt")
    assert not list(tmp_path.iterdir())


def test_what_is_logged_of_parts_is_what_the_whole_would_log(tmp_path: Path) -> None:
    seen: list[Interval] = []
    for task in (Regression(fits=3, batch_size=7), Regression(batch_size=7)):
        loop_for(task, steps=1).run(1, seen.append, tmp_path / "state.pt")
    parts, whole = (interval.scalars for interval in seen)
    assert parts.keys() == whole.keys() == {"loss", "index"}
    assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert parts["index"] == whole["index"] == 0


def test_a_loop_that_has_to_divide_a_batch_divides_the_next_ones_from_the_start(tmp_path: Path) -> None:
    task = Regression(fits=3)
    loop_for(task, steps=3).run(3, silent, tmp_path / "state.pt")
    assert task.sizes == [2] * 12


def processes(count: int, index: int) -> SimpleNamespace:
    """What a loop asks of an accelerator, of one of several processes."""
    return SimpleNamespace(
        num_processes=count,
        process_index=index,
        is_main_process=index == 0,
        device=torch.device("cpu"),
        gather=lambda signals: torch.cat([signals, torch.tensor([0, 15])]),
    )


def test_each_process_has_its_own_batches_of_every_step() -> None:
    taken = []
    for index in range(3):
        loop = loop_for(Regression())
        loop.accelerator = processes(3, index)
        taken.append([int(loop._batch(step)["index"][0]) for step in range(4)])
    assert taken == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]


def test_a_signal_to_one_process_stops_all() -> None:
    loop = loop_for(Regression())
    assert (loop._agreed(0), loop._agreed(2)) == (0, 2)
    loop.accelerator = processes(3, 1)
    assert (loop._agreed(0), loop._agreed(2)) == (15, 15)


def test_several_processes_do_not_divide_their_batches() -> None:
    """One would be out of step with the others."""
    loop = loop_for(Regression())
    batch = Regression().batch(0)
    loop._split_further(batch, RuntimeError())
    assert loop.micro_batches == 2
    loop.accelerator = processes(2, 0)
    with pytest.raises(ResourceError, match="more memory than cpu has"):
        loop._split_further(batch, RuntimeError())


def test_the_first_process_alone_writes_the_state(tmp_path: Path) -> None:
    loop = loop_for(Regression())
    loop.accelerator = processes(2, 1)
    loop.save(tmp_path / "state.pt")
    assert not list(tmp_path.iterdir())


def test_a_state_that_lacks_something_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    loop_for(Regression()).save(path)
    whole = torch.load(path, weights_only=True)
    groups = {**whole["optimiser"], "param_groups": whole["optimiser"]["param_groups"][:1]}
    for broken in (
        *({name: value for name, value in whole.items() if name != lost} for lost in whole),
        {**whole, "optimiser": groups},
        {**whole, "average": None},
        {**whole, "model": {}},
    ):
        torch.save(broken, path)
        with pytest.raises(WeightsError, match=r"(?s)state\.pt.*`overwrite`"):
            loop_for(Regression()).load(path)
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"(?s)state\.pt.*`overwrite`"):
        loop_for(Regression()).load(path)
