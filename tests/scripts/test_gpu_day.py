"""A day on a GPU, rehearsed on the CPU: run out of the folder with torch alone, sliced, carried back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scripts.gpu_day import slices
from scripts.gpu_day.bundle import Bundle
from scripts.gpu_day.check import predict, reduced
from scripts.gpu_day.collect import collect
from scripts.gpu_day.slices import Deadline, Pace, joined, ship
from scripts.gpu_day.teachers import Teacher, taught
from tests.scripts.gpu_folder import run, run_there
from wsi_nucssl.engines.torch_engine import TorchEngine
from wsi_nucssl.errors import InputError, ResourceError, WeightsError
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.segment.images import network_input, predict_image
from wsi_nucssl.train.interval import Interval


def _tf32() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture
def with_tf32() -> Iterator[None]:
    before = _tf32()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.usefixtures("with_tf32")
def test_float32_is_multiplied_with_all_its_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    plain = TorchEngine.predict

    def watched(engine: TorchEngine, windows: np.ndarray) -> np.ndarray:
        seen[engine.bf16] = _tf32()
        if not windows.any():
            raise ResourceError("all black")
        return plain(engine, windows)

    monkeypatch.setattr(TorchEngine, "predict", watched)
    network, image = build("liteunet0x2").eval(), np.full((64, 64, 3), 200, np.uint8)
    for precision in ("fp32", "bf16"):
        predict(network, image, "cpu", precision)
    assert seen == {False: (False, False), True: (True, True)}
    with pytest.raises(ResourceError):
        predict(network, 0 * image, "cpu", "fp32")
    assert _tf32() == (True, True)


def test_the_cpu_agrees_with_itself(packed: Path, tmp_path: Path) -> None:
    found = run_there(packed, "check", "--out", str(tmp_path))
    for scores in found["images"].values():
        assert scores["fp32"]["largest_difference"] == 0
        assert scores["fp32"]["foreground_jaccard"] == 1
        assert scores["bf16"]["mean_difference"] < 4
    nuclei = collect(tmp_path, tmp_path / "whole")["check"]
    assert nuclei["check-0-fp32"]["aji"] == 1
    assert nuclei["check-0-fp32"]["expected"] == nuclei["check-0-fp32"]["found"]


TRAIN = ("finetune", "--recipe", "tiny", "--split", "holdout-1", "--crops", "12", "--interval", "2")


def test_slices_end_with_the_weights_of_an_undisturbed_run(packed: Path, tmp_path: Path) -> None:
    whole = run(packed, *TRAIN, "--out", str(tmp_path / "whole"))
    assert (whole["step"], whole["steps"], whole["done"]) == (6, 6, True)
    assert set(whole["scores"]) == {"dice", "jaccard", "aji"}
    sliced = tmp_path / "sliced"
    first = run_there(packed, *TRAIN, "--out", str(sliced), "--minutes", "0")
    assert (first["step"], first["done"]) == (2, False)
    assert set(first["scores"]) == {"dice", "jaccard"}  # without what nuclei are extracted with
    index = "tiny-holdout-1-seed0.json"
    early = joined(sliced / index)
    run(packed, *TRAIN, "--out", str(sliced))
    assert joined(sliced / index) == joined(tmp_path / "whole" / index) != early
    assert [row["step"] for row in json.loads((sliced / index).read_text())["log"]] == [2, 4, 6]


@pytest.mark.slow
def test_where_the_state_is_lost_shipped_weights_go_on(packed: Path, tmp_path: Path) -> None:
    run(packed, *TRAIN, "--out", str(tmp_path / "first"), "--minutes", "0")
    start = tmp_path / "first" / "tiny-holdout-1-seed0.json"
    found = run(packed, *TRAIN, "--out", str(tmp_path / "second"), "--start", str(start))
    assert (found["step"], found["done"]) == (6, True)
    rows = json.loads((tmp_path / "second" / start.name).read_text())["log"]
    assert [row["step"] for row in rows] == [4, 6]


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_a_start_that_is_no_index_of_a_model_is_named(
    packed: Path, tmp_path: Path, content: str | None
) -> None:
    start = tmp_path / "start.json"
    if content is not None:
        start.write_text(content)
    with pytest.raises(InputError) as caught:
        run(packed, *TRAIN, "--out", str(tmp_path / "out"), "--start", str(start))
    assert caught.value.path == str(start)
    assert (caught.value.exit_code, bool(caught.value.remedy)) == (4, True)


def test_a_start_of_another_architecture_is_refused(packed: Path, tmp_path: Path) -> None:
    ship(
        tmp_path,
        build("resunet18"),
        ModelInfo("other", "resunet18", 0.25, InstanceConfig()),
        "int8",
        {"step": 1},
    )
    start = tmp_path / "other.json"
    with pytest.raises(WeightsError, match="holds a resunet18, but liteunet0x2") as caught:
        run(packed, *TRAIN, "--out", str(tmp_path / "out"), "--start", str(start))
    assert (caught.value.path, caught.value.exit_code) == (str(start), 4)
    assert not list(tmp_path.glob("*.whole"))


@pytest.mark.slow
def test_teachers_are_asked_of_what_they_did_not_see(packed: Path, tmp_path: Path) -> None:
    folds = ("finetune", "--recipe", "tiny", "--crops", "4", "--interval", "1", "--out", str(tmp_path))
    for fold in ("fold-1-of-5", "fold-2-of-5"):
        run(packed, *folds, "--split", fold)
    indices = [tmp_path / f"tiny-fold-{number}-of-5-seed0.json" for number in (1, 2)]
    bundle = Bundle.open(packed)
    teachers = [Teacher.load(index) for index in indices]
    images = bundle.images(list(bundle.content["images"]), 2)
    for each in taught(bundle, images, teachers, torch.device("cpu")):
        asked = [t for t in teachers if each.id not in t.seen] or teachers
        said = [predict(t.network, each.image, "cpu", "fp32").astype(np.float64) for t in asked]
        assert each.teacher is not None
        np.testing.assert_array_equal(each.teacher, np.rint(np.mean(said, axis=0)))
    assert {len([t for t in teachers if each.id in t.seen]) for each in images} == {1, 2}
    words = (*folds, "--split", "everything")
    found = run(packed, *words, *(word for index in indices for word in ("--teacher", str(index))))
    taught_weights = joined(tmp_path / "tiny-everything-seed0.json")
    assert found["done"]
    for state in (tmp_path / "state").glob("tiny-everything*"):
        state.unlink()
    run(packed, *words)
    assert joined(tmp_path / "tiny-everything-seed0.json") != taught_weights


@pytest.mark.slow
def test_a_teacher_of_another_resolution_sees_its_own_picture(packed: Path, tmp_path: Path) -> None:
    words = ("finetune", "--recipe", "bare", "--crops", "8", "--interval", "1", "--out", str(tmp_path))
    run(packed, *words, "--split", "holdout-1")
    teacher = Teacher.load(tmp_path / "bare-holdout-1-seed0.json")
    bundle = Bundle.open(packed)
    images = bundle.images(list(bundle.content["images"]), 2)
    for each in taught(bundle, images, [teacher], torch.device("cpu")):
        assert each.teacher is not None
        assert each.teacher.shape[1:] == each.labels.shape


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"parts": [')
    with pytest.raises(InputError, match="cannot be read"):
        collect(tmp_path, tmp_path / "whole")


def test_what_was_carried_back_is_a_model_that_knows_its_images(packed: Path, tmp_path: Path) -> None:
    run(packed, *TRAIN, "--out", str(tmp_path / "out"))
    found = collect(tmp_path / "out", tmp_path / "whole")
    (name,) = found["models"]
    model = load_model(tmp_path / "whole" / name)
    assert (model.info.arch, model.info.mpp) == ("liteunet0x2", 0.25)
    provenance = model.info.provenance
    assert provenance["split"] == Bundle.open(packed).split("holdout-1")
    assert provenance["recipe"]["batch_size"] == 2
    assert provenance["reached"]["step"] == 6


def test_large_models_travel_in_small_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "PART_BYTES", 2**20)
    info = ModelInfo("large", "liteunet0x2", 0.25, InstanceConfig())
    ship(tmp_path, build("liteunet0x2"), info, "bfloat16", {})
    parts = sorted(tmp_path.glob("large.part-*"))
    assert len(parts) > 3
    assert max(part.stat().st_size for part in parts) <= 2**20
    assert joined(tmp_path / "large.json")
    parts[1].write_bytes(parts[0].read_bytes())
    with pytest.raises(InputError, match="not of one file"):
        joined(tmp_path / "large.json")
    parts[1].unlink()
    with pytest.raises(InputError, match="missing"):
        joined(tmp_path / "large.json")


def test_a_schedule_fills_the_time_that_it_is_given(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "_LEAVING_SECONDS", 0.5)
    words = ("finetune", "--recipe", "tiny", "--split", "holdout-1", "--interval", "1")
    found = run(packed, *words, "--minutes", "0.1", "--out", str(tmp_path))
    assert found["done"]
    assert found["steps"] == found["step"] > 3
    rows = json.loads((tmp_path / "tiny-holdout-1-seed0.json").read_text())["log"]
    assert len(rows) == found["step"]


@pytest.mark.parametrize("seconds", [0.1, 1.0])
def test_the_pace_follows_the_speed(seconds: float) -> None:
    loop = SimpleNamespace(step=0, steps=slices.MOST_STEPS)
    begun = time.monotonic()
    pace = Pace(Deadline(1.0, begun), later_minutes=1.0)
    progress = Interval(10, 10, {}, 10 * seconds, 0.0)
    pace.follow(loop, progress)  # type: ignore[arg-type]
    assert loop.steps == slices.MOST_STEPS  # the first steps tell nothing
    loop.step = 10
    pace.follow(loop, progress)  # type: ignore[arg-type]
    assert loop.steps == pytest.approx(10 + 0.98 * (50 + 60) / seconds, rel=0.05)
    loop.step = loop.steps
    pace.follow(loop, progress)  # type: ignore[arg-type]
    assert loop.step == loop.steps  # what is over is over


@pytest.mark.slow
def test_rates_are_shares_of_the_peak_and_of_the_network(packed: Path, tmp_path: Path) -> None:
    sizes = ("--steps", "2", "--window-px", "64", "--windows", "2", "--loader-threads", "1")
    found = run(
        packed, "throughput", "--out", str(tmp_path), "--recipe", "tiny", "--pretrain", "tiny", *sizes
    )
    assert found["bf16_peak_tflops"] > 0
    for name in ("finetune tiny", "segment tiny", "pretrain tiny"):
        assert found[name]["share_of_peak"] > 0
        assert found[name]["share_of_network"] > 0
    assert json.loads((tmp_path / "throughput.json").read_text()) == found


@pytest.mark.slow
def test_cells_are_worked_off_once_each_and_say_why_one_cannot_be(packed: Path, tmp_path: Path) -> None:
    words = ("strategies", "--recipe", "tiny", "--crops", "4", "--seeds", "1", "--interval", "1")
    grid = ("--splits", "holdout-1", "--strategies", "none", "imagenet", "rotation", "--out", str(tmp_path))
    nothing = run(packed, *words, *grid, "--minutes", "0")
    assert nothing == {}
    found = run_there(packed, *words, *grid)
    keys = [f"{row}, holdout-1, seed 0" for row in ("none", "imagenet", "rotation")]
    assert list(found) == keys
    assert all({"loss", "dice", "jaccard"} <= set(found[key]) for key in keys)
    assert found[keys[0]] != found[keys[2]]
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "state").glob("*.safetensors")}
    assert run(packed, *words, *grid) == found
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "state").glob("*.safetensors")} == kept
    assert (
        "fault"
        in run(packed, *words, *grid[:2], "--strategies", "imagenet", "--recipe", "bare", *grid[-2:])[
            "imagenet, holdout-1, seed 0"
        ]
    )


@pytest.mark.parametrize("shape", [(192, 192), (97, 130)])
def test_probabilities_lie_on_the_image_that_a_reducing_network_sees_reduced(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = build("liteunet0x2").eval()
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    planes = predict(network, image, "cpu", "fp32")
    assert planes.shape == (2, *shape)
    small = network_input(image, 2.0)
    difference = (
        reduced(image[: shape[0] // 2 * 2, : shape[1] // 2 * 2]).astype(int)[1:-1, 1:-1]
        - small[1 : shape[0] // 2 - 1, 1 : shape[1] // 2 - 1]
    )
    assert np.abs(difference).max() <= 1
    if shape[0] % 2 == 0:
        slides = predict_image(TorchEngine(network, torch.device("cpu")), image)[:2].astype(int)
        inner = (slice(None), slice(80, 112), slice(80, 112))
        assert np.abs(planes.astype(int)[inner] - slides[inner]).mean() < 3
