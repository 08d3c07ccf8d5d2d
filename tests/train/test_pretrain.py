from __future__ import annotations

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from wsi_nucssl.errors import InputError, OutputExists, RunMismatch, UsageError
from wsi_nucssl.models.encoders import build_encoder
from wsi_nucssl.models.tensors import load_encoder
from wsi_nucssl.pretext.tasks import TASKS
from wsi_nucssl.pretext.weights import load_pretext
from wsi_nucssl.train.pretrain import pretrain, preview
from wsi_nucssl.train.pretrain_job import PretrainJob
from wsi_nucssl.train.pretrain_recipe import PretrainRecipe

RECIPE = {
    "steps": 4,
    "batch_size": 2,
    "tile_px": 128,
    "log_every": 1,
    "checkpoint_every": 2,
    "precision": "fp32",
    "views": {"view_px": 64},
}


class Killed(BaseException):
    """Stands for kill -9: nothing after it is run."""


@pytest.fixture(autouse=True)
def _fresh_accelerator() -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(3):
        small = rng.integers(0, 256, (32, 40, 3), np.uint8)
        cv2.imwrite(
            str(folder / f"{number}.png"), cv2.resize(small, (320, 256), interpolation=cv2.INTER_CUBIC)
        )
    return folder


def job(images: Path, task: str = "triplet-rank", **changes: object) -> PretrainJob:
    return PretrainJob((images,), PretrainRecipe.model_validate(RECIPE | changes), task, "resnet18")


def same_weights(one: Path, other: Path) -> bool:
    a, b = load_file(one / "pretext.safetensors"), load_file(other / "pretext.safetensors")
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_leaves_an_encoder_that_loads_and_a_history(images: Path, tmp_path: Path) -> None:
    rows: list[Mapping[str, float]] = []
    result = pretrain(job(images), tmp_path / "run", device="cpu", report=lambda row, _: rows.append(row))
    assert result.weights == tmp_path / "run" / "encoder.safetensors"
    encoder = build_encoder("resnet18")
    load_encoder(encoder, tmp_path / "run")
    model, info = load_pretext(tmp_path / "run")
    assert (info.task, info.encoder, info.view_px) == ("triplet-rank", "resnet18", 64)
    assert info.mpp == pytest.approx(0.25 * 98 / 64)  # an anchor of 98 px, seen at 64
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, model.encoder.state_dict()[name])
    with (tmp_path / "run" / "history.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [int(row["step"]) for row in written] == [1, 2, 3, 4] == [row["step"] for row in rows]
    assert {"loss_triplet", "loss_rank", "d_ap", "d_an", "active_triplet", "z_norm", "rank_accuracy"} <= set(
        rows[0]
    )
    assert {"tiles_per_second", "loader_share"} <= set(rows[0])
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000


@pytest.mark.parametrize("task", TASKS.own_names[1:])
def test_every_task_writes_an_encoder_for_fine_tuning(images: Path, tmp_path: Path, task: str) -> None:
    pretrain(job(images, task, steps=1, checkpoint_every=1), tmp_path, device="cpu")
    load_encoder(build_encoder("resnet18"), tmp_path)


def test_killed_and_resumed_it_ends_with_the_same_weights(images: Path, tmp_path: Path) -> None:
    pretrain(job(images), tmp_path / "undisturbed", device="cpu")

    def kill_at_three(row: Mapping[str, float], _warning: str | None) -> None:
        if row["step"] == 3:
            raise Killed

    with pytest.raises(Killed):
        pretrain(job(images), tmp_path / "killed", device="cpu", report=kill_at_three)
    pretrain(job(images), tmp_path / "killed", device="cpu", resume=True, loader_threads=3)
    assert same_weights(tmp_path / "undisturbed", tmp_path / "killed")
    steps = [line.split(",")[0] for line in (tmp_path / "killed" / "history.csv").read_text().splitlines()]
    assert steps == ["step", "1", "2", "3", "4"]


@pytest.mark.slow
def test_a_finished_run_resumed_is_left_as_it_is(images: Path, tmp_path: Path) -> None:
    first = pretrain(job(images), tmp_path, device="cpu")
    before = first.weights.stat().st_mtime_ns
    again = pretrain(job(images), tmp_path, device="cpu", resume=True)
    assert again == first
    assert first.weights.stat().st_mtime_ns == before


def test_a_finished_run_gives_its_encoder_again(images: Path, tmp_path: Path) -> None:
    short = job(images, steps=2)
    first = pretrain(short, tmp_path, device="cpu").weights
    before = first.read_bytes()
    first.unlink()
    assert pretrain(short, tmp_path, device="cpu", resume=True).weights.read_bytes() == before


def test_overwriting_never_takes_the_images_with_it(images: Path, tmp_path: Path) -> None:
    pretrain(job(images, steps=2), tmp_path, device="cpu")
    inside = shutil.copytree(images, tmp_path / "images")
    with pytest.raises(OutputExists, match="would be replaced"):
        pretrain(job(inside), tmp_path, device="cpu", overwrite=True)
    assert len(list(inside.iterdir())) == 3


def test_a_preview_replaces_nothing_unasked(images: Path, tmp_path: Path) -> None:
    picture = tmp_path / "preview.png"
    preview(job(images), picture)
    first = picture.stat().st_mtime_ns
    with pytest.raises(OutputExists, match="`overwrite`"):
        preview(job(images), picture)
    assert picture.stat().st_mtime_ns == first
    preview(job(images), picture, overwrite=True)


@pytest.mark.parametrize("mpp", [0.0, -1.0, float("nan")])
def test_an_impossible_mpp_is_refused(images: Path, mpp: float) -> None:
    with pytest.raises(UsageError, match="mpp"):
        replace(job(images), mpp=mpp)


def test_a_run_is_not_taken_over_by_another_job(images: Path, tmp_path: Path) -> None:
    pretrain(job(images, steps=1, checkpoint_every=1), tmp_path, device="cpu")
    with pytest.raises(OutputExists, match="`resume`"):
        pretrain(job(images, steps=1, checkpoint_every=1), tmp_path, device="cpu")
    with pytest.raises(RunMismatch, match="task"):
        pretrain(job(images, "rank", steps=1, checkpoint_every=1), tmp_path, device="cpu", resume=True)


def test_a_collapsed_run_is_warned_of_after_its_warm_up(images: Path, tmp_path: Path) -> None:
    warnings: dict[float, str | None] = {}
    frozen = {"learning_rate": 1e-9, "warmup_steps": 1}
    collapsed = job(images, "rotation", optimisation=frozen, views={"view_px": 64})
    pretrain(collapsed, tmp_path, device="cpu", report=lambda row, text: warnings.update({row["step"]: text}))
    assert warnings[1] is None
    assert any(text and "guessing" in text for text in warnings.values())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"stepz": 3}, "stepz"),
        ({"log_every": 2, "checkpoint_every": 3}, "multiple of log_every"),
        ({"views": {"view_py": 64}}, "views.view_py"),
        ({"views": {"view_px": 65}}, "multiple of 32"),
    ],
)
def test_a_faulty_recipe_is_refused_by_the_name_of_the_fault(
    tmp_path: Path, wrong: dict[str, object], message: str
) -> None:
    import yaml

    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(wrong))
    with pytest.raises(UsageError, match=message):
        PretrainRecipe.load(tmp_path / "recipe.yaml")


def test_changes_reach_into_sections_and_stay_within_ranges() -> None:
    recipe = PretrainRecipe(steps=700)
    assert recipe.changed({}) == recipe
    changed = recipe.changed({"batch_size": 4, "views": {"deshortcut": {"enabled": True}}})
    assert (changed.steps, changed.batch_size, changed.views.deshortcut.enabled) == (700, 4, True)
    assert changed.views.deshortcut.max_noise == recipe.views.deshortcut.max_noise
    with pytest.raises(UsageError, match=r"batch_size.*docs/pretrain\.md"):
        recipe.changed({"batch_size": 0})
    with pytest.raises(UsageError, match=r"views\.deshort"):
        recipe.changed({"views": {"deshort": {}}})


def test_the_documented_recipe_is_the_default_one() -> None:
    import yaml

    page = (Path(__file__).parents[2] / PretrainRecipe.guide).read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert PretrainRecipe.parse(yaml.safe_load(block)) == PretrainRecipe()


def test_no_source_or_an_unknown_encoder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to learn from"):
        PretrainJob((), PretrainRecipe())
    with pytest.raises(UsageError, match="resnet101"):
        PretrainJob((tmp_path,), PretrainRecipe(), arch="vgg")
    with pytest.raises(InputError):
        pretrain(job(tmp_path), tmp_path / "run", device="cpu")


SCRIPT = """
    import sys
    from pathlib import Path
    import torch
    from wsi_nucssl.train.pretrain import PretrainJob, pretrain
    from wsi_nucssl.train.pretrain_recipe import PretrainRecipe

    torch.set_num_threads(1)
    images, run, steps, batch_size = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    recipe = PretrainRecipe.model_validate({
        "steps": steps, "batch_size": batch_size, "tile_px": 128, "log_every": 1, "checkpoint_every": 1,
        "precision": "fp32", "optimiser": "sgd", "views": {"view_px": 64},
    })
    job = PretrainJob((images,), recipe, "triplet-rank", "resnet18")
    if __name__ == "__main__":
        pretrain(job, run, device="cpu", resume=True)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    return path


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_doubled_batch(
    images: Path, tmp_path: Path, script: Path
) -> None:
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        "29533",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    two = [*torchrun, str(script), str(images), str(tmp_path / "two"), "4", "2"]
    one = [sys.executable, str(script), str(images), str(tmp_path / "one"), "4", "4"]
    subprocess.run(two, check=True, env=environment, timeout=300)
    subprocess.run(one, check=True, env=environment, timeout=300)

    def losses(run: str) -> list[float]:
        with (tmp_path / run / "history.csv").open(newline="") as file:
            return [float(row["loss"]) for row in csv.DictReader(file)]

    assert losses("two") == pytest.approx(losses("one"), rel=1e-3, abs=1e-3)


@pytest.mark.slow
def test_killed_by_force_at_any_moment_it_ends_with_the_same_weights(
    images: Path, tmp_path: Path, script: Path
) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def command(run: str) -> list[str]:
        return [sys.executable, str(script), str(images), str(tmp_path / run), "12", "2"]

    subprocess.run(command("undisturbed"), check=True, env=environment, timeout=300)
    rng = np.random.default_rng(0)
    for _ in range(5):
        process = subprocess.Popen(command("killed"), env=environment)
        time.sleep(float(rng.uniform(4, 9)))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command("killed"), check=True, env=environment, timeout=300)
    assert same_weights(tmp_path / "undisturbed", tmp_path / "killed")
