"""Fine-tuning end to end on a tiny dataset: what a run leaves, exact resume, refusals."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.tiny import job, write_dataset
from wsi_nucssl.benchmark.predictors import KnownSplit
from wsi_nucssl.datasets import Split
from wsi_nucssl.errors import (
    InputError,
    OutputExists,
    RunMismatch,
    Stopped,
    UsageError,
    WeightsError,
    WsiNucsslError,
)
from wsi_nucssl.files import sha256_file
from wsi_nucssl.models.info import seen_images
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.train.finetune import finetune
from wsi_nucssl.train.job import SplitChoice, make_job, parse_weights


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    finetune(job(dataset), run, device="cpu")
    return run


def weights_of(run: Path) -> tuple[str, dict[str, bytes]]:
    """The weights' file, and the last weights and their average."""
    state = torch.load(run / "state.pt", weights_only=True)
    tensors = {**state["model"], **state["average"]}
    return sha256_file(run / "model.safetensors"), {k: v.numpy().tobytes() for k, v in tensors.items()}


def test_a_run_leaves_weights_split_history_and_curves(dataset: Path, undisturbed: Path) -> None:
    model = load_model(undisturbed)
    assert (model.info.arch, model.info.mpp) == ("liteunet0x2", 0.25)
    split = Split.read(undisturbed / "split.json")
    split.verify(job(dataset).dataset)
    recorded = model.info.provenance["split"]["validation"]
    assert [entry["id"] for entry in recorded] == list(split.validation_ids)
    assert model.info.provenance["scores"]["epoch"] == 2
    scores, calibration = (model.info.provenance[name] for name in ("scores", "calibration"))
    assert set(scores["validation_images"]) == set(calibration["images"]) == set(split.validation_ids)
    assert calibration["aji"] >= scores["validation_aji"] == next(iter(scores["validation_images"].values()))
    assert list((undisturbed / "overlays").glob("epoch-*.png"))
    with (undisturbed / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(0 <= float(row["validation_aji"]) <= 1 for row in rows)
    assert (undisturbed / "curves.png").stat().st_size > 1000
    pictures = b"".join(file.read_bytes() for file in (undisturbed / "events").iterdir())
    assert b"worst validation image" in pictures
    assert b"\x89PNG" in pictures


def test_the_same_job_gives_the_same_weights(dataset: Path, undisturbed: Path, tmp_path: Path) -> None:
    again = finetune(job(dataset), tmp_path / "run", device="cpu", loader_threads=3)
    assert weights_of(tmp_path / "run") == weights_of(undisturbed)
    finished = finetune(job(dataset), tmp_path / "run", device="cpu", resume=True)
    assert finished == again


@pytest.mark.slow
def test_ctrl_c_then_resume_gives_the_same_weights(dataset: Path, undisturbed: Path, tmp_path: Path) -> None:
    def press(row: Mapping[str, float]) -> None:
        if row["epoch"] == 1:
            os.kill(os.getpid(), signal.SIGINT)

    run = tmp_path / "run"
    with pytest.raises(Stopped):
        finetune(job(dataset), run, device="cpu", report=press)
    finetune(job(dataset), run, device="cpu", resume=True)
    assert weights_of(run) == weights_of(undisturbed)


KILLED = """
import sys, time
from pathlib import Path
from tests.train.tiny import job
from wsi_nucssl.train.finetune import finetune
finetune(job(Path(sys.argv[1])), Path(sys.argv[2]), device="cpu", report=lambda row: time.sleep(30))
"""


def test_kill_9_then_resume_gives_the_same_weights(dataset: Path, undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(dataset), str(run)])
    until = time.monotonic() + 120
    while not (run / "state.pt").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finetune(job(dataset), run, device="cpu", resume=True)
    assert weights_of(run) == weights_of(undisturbed)


@pytest.mark.slow
def test_a_crash_before_the_state_is_saved_costs_an_epoch_and_nothing_else(
    dataset: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wsi_nucssl.train.loop import Loop

    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "save", power_cut)
        with pytest.raises(KeyboardInterrupt):
            finetune(job(dataset), run, device="cpu")
    finetune(job(dataset), run, device="cpu", resume=True)
    assert weights_of(run) == weights_of(undisturbed)
    with (run / "history.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]


TOGETHER = """
import sys
from pathlib import Path
import torch
from tests.train.tiny import job
from wsi_nucssl.train.finetune import finetune
torch.set_num_threads(1)
# Dice, and the mean of px that weigh differently, are each process's own: of the halves of a batch, not of the whole.
# So is white noise (`augment.draws`). On smaller crops the last map is one px, whose batch statistics magnify rounding.
of_each_px = {"loss": {"dice": 0.0, "class_weights": [1.0, 1.0, 1.0]}, "augmentation": {"noise_p": 0.0}}
if __name__ == "__main__":
    made = job(Path(sys.argv[1]), batch_size=int(sys.argv[3]), crops_per_image=8, crop_px=192, **of_each_px)
    result = finetune(made, Path(sys.argv[2]), device="cpu", resume=True)
    print("AJI", result.validation_aji)
"""


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_doubled_batch(dataset: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(TOGETHER)
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}

    def train(run: str, *words: str) -> tuple[list[float], str]:
        command = [sys.executable, *words[:-1], str(script), str(dataset), str(tmp_path / run), words[-1]]
        said = subprocess.check_output(command, env=environment, timeout=300, text=True)
        with (tmp_path / run / "history.csv").open(newline="") as file:
            return [float(row["loss"]) for row in csv.DictReader(file)], said

    two, said = train("two", *torchrun, "2")
    one, _ = train("one", "4")
    assert two == pytest.approx(one, rel=1e-3, abs=1e-3)
    scores = [line for line in said.splitlines() if line.startswith("AJI")]
    assert len(scores) == 2
    assert len(set(scores)) == 1
    again, _ = train("two", *torchrun, "2")
    assert again == two


def test_another_job_does_not_resume_and_nothing_is_overwritten(dataset: Path, undisturbed: Path) -> None:
    with pytest.raises(OutputExists, match="`resume`"):
        finetune(job(dataset), undisturbed, device="cpu")
    with pytest.raises(RunMismatch, match="recipe"):
        finetune(job(dataset, epochs=3), undisturbed, device="cpu", resume=True)


def test_a_finished_run_without_its_weights_is_no_success(dataset: Path, tmp_path: Path) -> None:
    finetune(job(dataset, epochs=1), tmp_path, device="cpu")
    (tmp_path / "done.json").write_text("{")
    with pytest.raises(WeightsError, match=r"done\.json"):
        finetune(job(dataset, epochs=1), tmp_path, device="cpu", resume=True)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="holds no weights"):
        finetune(job(dataset, epochs=1), tmp_path, device="cpu", resume=True)


def test_a_damaged_history_is_named(dataset: Path, tmp_path: Path) -> None:
    finetune(job(dataset, epochs=1), tmp_path, device="cpu")
    (tmp_path / "done.json").unlink()
    for content in ("step,loss\nthree,1\n", "loss\n1\n", "step,loss\n1,2,3\n"):
        (tmp_path / "history.csv").write_text(content)
        with pytest.raises(InputError, match=r"history\.csv"):
            finetune(job(dataset, epochs=1), tmp_path, device="cpu", resume=True)


def test_what_cannot_be_trained_is_refused_before_anything_is_written(dataset: Path, tmp_path: Path) -> None:
    good = job(dataset)
    for change, says in (
        ({"mpp": 0.0}, "mpp"),
        ({"mpp": float("nan")}, "mpp"),
        ({"arch": "resunet9"}, "resunet9"),
        ({"split": replace(good.split, train=())}, "nothing to train on"),
    ):
        with pytest.raises(UsageError, match=says):
            replace(good, **change)
    with pytest.raises(UsageError, match="cannot train on 'cuda'"):
        finetune(good, tmp_path / "run", device="cuda")
    assert not (tmp_path / "run").exists()


def test_overwriting_never_takes_the_data_with_it(dataset: Path, tmp_path: Path) -> None:
    finetune(job(dataset, epochs=1), tmp_path, device="cpu")
    data = shutil.copytree(dataset, tmp_path / "data")
    with pytest.raises(OutputExists, match="would be replaced"):
        finetune(job(data), tmp_path, device="cpu", overwrite=True)
    again = replace(job(dataset), encoder=str(tmp_path))
    with pytest.raises(OutputExists, match="would be replaced"):
        finetune(again, tmp_path, device="cpu", overwrite=True)
    assert (data / "images").is_dir()


def test_the_old_weights_stay_until_the_new_run_is_done(
    dataset: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(undisturbed, tmp_path / "run")
    old = weights_of(run)

    def die(_row: Mapping[str, float]) -> None:
        assert weights_of(run) == old
        raise KeyboardInterrupt

    again = replace(job(dataset), seed=1)
    with pytest.raises(KeyboardInterrupt):
        finetune(again, run, device="cpu", overwrite=True, report=die)
    assert weights_of(run) == old
    with pytest.raises(RunMismatch, match="seed"):
        finetune(job(dataset), run, device="cpu", resume=True)
    result = finetune(again, run, device="cpu", resume=True)
    assert result.weights == run / "model.safetensors"
    assert load_model(run).info.provenance["seed"] == 1
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_an_encoder_is_known_by_its_bytes(dataset: Path, undisturbed: Path) -> None:
    def identity(encoder: Path) -> object:
        made = make_job(
            [dataset], split=SplitChoice(), recipe=job(dataset).recipe, arch="resunet18", encoder=str(encoder)
        )
        return made.manifest()["encoder"]

    file = undisturbed / "model.safetensors"
    assert identity(file) == identity(undisturbed) == sha256_file(file)
    with pytest.raises(WsiNucsslError, match="no such model"):
        identity(dataset / "none.safetensors")


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"fraction": 0.0}, {"fraction": 1.1}])
def test_an_impossible_choice_of_images_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SplitChoice(**wrong)


@pytest.mark.parametrize("fold", ["0/3", "4/3", "1", "a/b"])
def test_an_impossible_fold_is_refused(dataset: Path, fold: str) -> None:
    with pytest.raises(UsageError, match="fold"):
        make_job([dataset], split=SplitChoice(fold=fold), recipe=job(dataset).recipe)


def test_a_split_is_not_both_read_and_folded(dataset: Path, undisturbed: Path) -> None:
    choice = SplitChoice(file=undisturbed / "split.json", fold="1/3")
    with pytest.raises(UsageError, match="`split`, `fold`"):
        make_job([dataset], split=choice, recipe=job(dataset).recipe)


def test_folds_fractions_and_split_files(dataset: Path, undisturbed: Path) -> None:
    opened = job(dataset).dataset
    held = [SplitChoice(fold=f"{n}/3").apply(opened).validation_ids for n in (1, 2, 3)]
    assert sorted(name for ids in held for name in ids) == list(opened.ids)
    assert len(SplitChoice(fraction=0.1).apply(opened).train) == 1
    assert SplitChoice(file=undisturbed / "split.json").apply(opened) == job(dataset).split


def test_a_run_goes_on_from_a_model_of_its_architecture(
    dataset: Path, undisturbed: Path, tmp_path: Path
) -> None:
    still = {"learning_rate": 1e-12, "weight_decay": 0, "ema_decay": 0, "warmup_steps": 0}
    again = replace(job(dataset, epochs=1, optimisation=still), start=str(undisturbed))
    finetune(again, tmp_path / "run", device="cpu")
    one, other = (load_model(run).network.state_dict() for run in (undisturbed, tmp_path / "run"))
    for name, value in one.items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-6)
    provenance = load_model(tmp_path / "run").info.provenance
    assert provenance["start"] == sha256_file(undisturbed / "model.safetensors")
    seen = {entry["image_sha256"] for entry in provenance["split"]["train"]}
    assert set(provenance["seen_before"]) == seen
    assert seen_images(load_model(tmp_path / "run").info) == seen
    with pytest.raises(WeightsError, match="`arch` liteunet0x2"):
        finetune(replace(again, arch="resunet34"), tmp_path / "other", device="cpu")
    with pytest.raises(UsageError, match="`start` or `encoder`"):
        replace(again, encoder="imagenet")


def test_who_starts_from_a_model_that_saw_the_validation_images_is_told(
    dataset: Path, undisturbed: Path, tmp_path: Path
) -> None:
    seen = load_model(undisturbed).info.provenance["split"]["train"][0]["id"]
    swapped = Split("swapped", 0, job(dataset).split.validation, job(dataset).split.train)
    said: list[str] = []
    again = replace(job(dataset, epochs=1), start=str(undisturbed), split=swapped)
    finetune(again, tmp_path / "run", device="cpu", warn=said.append)
    assert seen in swapped.validation_ids
    assert any("was trained on 2 of the 2 validation images" in text for text in said)
    known = KnownSplit.of(load_model(tmp_path / "run").info)
    assert known is not None
    assert not known.validation


def test_images_of_another_mpp_are_part_of_a_runs_identity(dataset: Path) -> None:
    recipe = job(dataset).recipe
    plain, coarse = (
        make_job([dataset], split=SplitChoice(), recipe=recipe, own_mpp=mpp) for mpp in (None, 0.5)
    )
    assert plain.manifest() != coarse.manifest()
    assert "image_mpp" not in plain.manifest()


def test_every_setting_is_part_of_a_runs_identity(dataset: Path, undisturbed: Path, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "other", images=2)
    recipe = job(dataset).recipe
    plain = make_job([dataset, other], split=SplitChoice(held_out=("other",)), recipe=recipe)
    changed: dict[str, Any] = {
        "split": replace(plain.split, name="another"),
        "recipe": job(dataset, epochs=7).recipe,
        "arch": "resunet34",
        "encoder": str(undisturbed),
        "mpp": 0.5,
        "seed": 1,
        "weights": {dataset.name: 2.0},
        "teachers": (str(undisturbed),),
        "start": str(undisturbed),
        "types": ("epithelial",),
    }
    assert changed.keys() == {each.name for each in fields(plain)} - {"dataset"}  # its bytes are in the split
    before = plain.manifest()
    for name, value in changed.items():
        after = replace(plain, **{name: value}).manifest()
        differing = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert differing == {name}
    assert plain.manifest(processes=2) == {**before, "processes": 2}


def test_several_datasets_join_and_weigh(dataset: Path, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "other", images=2)
    recipe = job(dataset).recipe
    made = make_job(
        [dataset, other],
        split=SplitChoice(held_out=("other",)),
        recipe=recipe,
        weights={dataset.name: 2.0},
    )
    assert made.split.validation_ids == ("other/0", "other/1")
    assert len(make_job([dataset, other], split=SplitChoice(train_all=True), recipe=recipe).split.train) == 5
    with pytest.raises(UsageError, match="cannot weigh"):
        replace(made, weights={"nowhere": 1.0})
    for wrong in (-1.0, 0.0, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="cannot weigh"):
            replace(made, weights={"other": wrong})
    with pytest.raises(UsageError, match="lone dataset"):
        replace(job(dataset), weights={dataset.name: 2.0})


def test_training_on_everything_leaves_weights_without_validation(dataset: Path, tmp_path: Path) -> None:
    whole = make_job([dataset], split=SplitChoice(train_all=True), recipe=job(dataset, epochs=1).recipe)
    result = finetune(replace(whole, arch="resunet18"), tmp_path / "run", device="cpu")
    assert load_model(result.weights).info.provenance["scores"] == {"epoch": 1}
    assert result.validation_aji is None


@pytest.mark.parametrize(("text", "fine"), [("a=2", True), ("a/b=0.5", True), ("2", False), ("a=b", False)])
def test_weights_are_names_with_numbers(text: str, fine: bool) -> None:
    if fine:
        assert list(parse_weights([text])) == [text.split("=")[0]]
        return
    with pytest.raises(UsageError, match="NAME=W"):
        parse_weights([text])
