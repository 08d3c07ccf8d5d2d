"""What each interval of a pretraining leaves: a row, a checkpoint now and then, a warning once it is time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wsi_nucssl.pretext.model import PretextModel
from wsi_nucssl.train import pretrain_outputs
from wsi_nucssl.train.history import History
from wsi_nucssl.train.interval import Interval
from wsi_nucssl.train.pretrain_job import PretrainJob
from wsi_nucssl.train.pretrain_outputs import PretrainOutputs, _panels
from wsi_nucssl.train.pretrain_recipe import PretrainRecipe

Rows = list[tuple[Mapping[str, float], str | None]]


class Loop:
    """What the outputs of a run ask of a loop."""

    def __init__(self, *, processes: int = 1, first: bool = True) -> None:
        self.accelerator = SimpleNamespace(num_processes=processes, is_main_process=first)
        self.result, self.step = PretextModel.__new__(PretextModel), 0
        self.saved: list[int] = []

    def save(self, _path: Path) -> None:
        self.saved.append(self.step)

    def load(self, path: Path) -> None:
        self.step = int(path.read_text())


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each checkpoint writes, besides its state."""
    names: list[str] = []

    def save(path: Path, *_: object) -> None:
        names.append(path.name)
        path.touch()

    monkeypatch.setattr(pretrain_outputs, "save_pretext", save)
    monkeypatch.setattr(pretrain_outputs, "save_encoder", save)
    monkeypatch.setattr(PretextModel, "encoder", None, raising=False)
    monkeypatch.setattr(
        History, "show_curves", lambda *_, last: names.append("last curves" if last else "curves")
    )
    return names


CHECKPOINT = ["pretext.safetensors", "encoder.safetensors", "curves"]


def outputs_of(
    run: Path, loop: Loop, rows: Rows, says: str | None = None, **changes: object
) -> PretrainOutputs:
    settings = {"steps": 20, "batch_size": 6, "log_every": 1, "checkpoint_every": 6, **changes}
    job = PretrainJob((run,), PretrainRecipe.parse(settings))
    task, given = SimpleNamespace(warning=lambda _means: says), loop
    parts: tuple[Any, Any] = given, task
    return PretrainOutputs(job, {}, run, *parts, lambda row, warning: rows.append((row, warning)))


def go_on(
    outputs: PretrainOutputs, loop: Loop, steps: range, redundancies: Mapping[int, float] | None = None
) -> None:
    for step in steps:
        loop.step = step
        scalars = {"loss": 0.123456789, "redundancy_1": (redundancies or {}).get(step, 1.0)}
        outputs.end_interval(Interval(step, 4, scalars, 1.23456, 0.123456))


def test_rows_have_the_tiles_of_all_processes_in_a_second(tmp_path: Path, weights: list[str]) -> None:
    for processes in (1, 3):
        rows: Rows = []
        loop, run = Loop(processes=processes), tmp_path / str(processes)
        run.mkdir()
        outputs = outputs_of(run, loop, rows)
        go_on(outputs, loop, range(1, 2))
        assert (
            rows[0][0]
            == outputs.last
            == {
                "step": 1,
                "seconds": 1.23,
                "tiles_per_second": round(4 * 6 * processes / 1.23456, 3),
                "loader_share": 0.1235,
                "loss": 0.12346,
                "redundancy_1": 1.0,
            }
        )
    assert not weights


def test_checkpoints_come_as_often_as_asked_for_and_at_the_end(tmp_path: Path, weights: list[str]) -> None:
    loop = Loop()
    go_on(outputs_of(tmp_path, loop, []), loop, range(1, 21))
    assert loop.saved == [6, 12, 18, 20]
    assert weights == [*CHECKPOINT * 3, *CHECKPOINT[:2], "last curves"]


@pytest.mark.parametrize(("warmup", "silent"), [(0, 2), (1, 2), (5, 5)])
def test_nothing_is_wrong_in_the_warm_up_and_the_first_tenth(
    tmp_path: Path, weights: list[str], warmup: int, silent: int
) -> None:
    rows: Rows = []
    loop = Loop()
    outputs = outputs_of(tmp_path, loop, rows, "collapsed", optimisation={"warmup_steps": warmup})
    go_on(outputs, loop, range(1, 6 + 1))
    assert [warning for _, warning in rows] == [None] * silent + ["collapsed"] * (6 - silent)
    assert weights


def test_features_that_grow_redundant_are_warned_of_against_the_first_interval(
    tmp_path: Path, weights: list[str]
) -> None:
    rows: Rows = []
    loop = Loop()
    outputs = outputs_of(tmp_path, loop, rows, optimisation={"warmup_steps": 0})
    go_on(outputs, loop, range(1, 6), {3: 1.6, 4: 1.8, 5: 1.0})
    said = [warning is not None and "collapsed" in warning for _, warning in rows]
    assert said == [False, False, False, True, False]  # log 2 is 0.69
    assert not weights


def test_only_the_first_process_writes_and_all_know_the_last_row(tmp_path: Path, weights: list[str]) -> None:
    rows: Rows = []
    loop = Loop(processes=2, first=False)
    outputs = outputs_of(tmp_path, loop, rows)
    go_on(outputs, loop, range(1, 21))
    outputs.finish()
    assert outputs.last["step"] == 20
    assert not list(tmp_path.iterdir())
    assert not rows
    assert not weights


def test_a_resumed_run_knows_its_last_row_and_keeps_the_weights_that_are_there(
    tmp_path: Path, weights: list[str]
) -> None:
    loop = Loop()
    outputs = outputs_of(tmp_path, loop, [])
    assert outputs.last == {}
    go_on(outputs, loop, range(1, 4))
    (tmp_path / "state.pt").write_text("2")
    again = Loop()
    resumed = outputs_of(tmp_path, again, [])
    assert again.step == 2
    assert [row["step"] for row in resumed.history.rows] == [1, 2]
    assert resumed.last["step"] == 2
    (tmp_path / "encoder.safetensors").touch()
    resumed.finish()
    assert not weights
    (tmp_path / "encoder.safetensors").unlink()
    resumed.finish()
    assert weights == CHECKPOINT


def test_curves_show_what_the_task_logs_in_groups() -> None:
    row = dict.fromkeys(
        ("step", "loss", "loss_rank", "rank_accuracy", "active_triplet", "d_ap", "z_norm", "redundancy_2"),
        1.0,
    )
    assert _panels(row) == (
        ("loss", "loss_rank"),
        ("rank_accuracy", "active_triplet"),
        ("d_ap", "z_norm"),
        ("redundancy_2",),
        ("tiles_per_second",),
    )
    assert _panels({"step": 1.0, "loss": 2.0}) == (("loss",), ("tiles_per_second",))
