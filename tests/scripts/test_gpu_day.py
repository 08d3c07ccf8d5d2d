"""A day on a GPU, rehearsed on the CPU: packed, run out of the folder with torch alone, sliced, carried back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from scripts.gpu_day import slices, training
from scripts.gpu_day.__main__ import command
from scripts.gpu_day.bundle import Bundle
from scripts.gpu_day.check import predict, reduced
from scripts.gpu_day.collect import collect
from scripts.gpu_day.pack import PackJob, pack
from scripts.gpu_day.recipe import finetune_recipe
from scripts.gpu_day.slices import joined, ship
from tests.train.tiny import scene
from wsi_nucssl.datasets import Dataset, everything, join_datasets, open_dataset
from wsi_nucssl.engines.torch_engine import TorchEngine
from wsi_nucssl.errors import InputError, OutputExists, ResourceError, UsageError, WeightsError
from wsi_nucssl.models.encoders import build_encoder
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import save_encoder, save_model
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.segment.images import network_input, predict_image
from wsi_nucssl.train.crops import Crops
from wsi_nucssl.train.images import read_images

RECIPE = """
arch: liteunet0x2
encoder: efficientnet-lite0
finetune:
  batch_size: 2
  crop_px: 64
  precision: fp32
  optimisation: {warmup_steps: 1}
pretrain:
  steps: 2
  batch_size: 2
  tile_px: 192
  precision: fp32
  views: {view_px: 64}
"""

ALLOWED = ("torch", "torchvision", "numpy", "accelerate", "safetensors")
ALONE = f"""
import importlib.metadata, re, runpy, sys
from importlib.machinery import PathFinder

def plain(name):
    return re.sub("[-_.]+", "-", name).lower()

def needed(names, found):
    for name in set(map(plain, names)) - found:
        found.add(name)
        try:
            wanted = importlib.metadata.requires(name) or ()
        except importlib.metadata.PackageNotFoundError:
            continue
        needed([re.match("[A-Za-z0-9._-]+", each)[0] for each in wanted if "extra ==" not in each], found)
    return found

there = needed({ALLOWED!r}, set())
owners = importlib.metadata.packages_distributions()

class OnTheMachine:
    find_distributions = PathFinder.find_distributions

    def find_spec(name, path=None, target=None):
        of = set(map(plain, owners.get(name.split(".")[0], ())))
        return None if of and not of & there else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = OnTheMachine
for refused in ("cv2", "numba", "pydantic", "tifffile", "openslide", "imagecodecs", "zarr", "scipy", "skimage"):
    try:
        __import__(refused)
    except ImportError:
        continue
    raise SystemExit(f"{{refused}} was not refused")
sys.argv[0] = "gpu_day"
runpy.run_module("scripts.gpu_day", run_name="__main__")
"""


def _two_by_two(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.concatenate(parts[:2], axis=1), np.concatenate(parts[2:], axis=1)])


def write_images(root: Path, images: int, mpp: float) -> Path:
    """Discs on pink, 192 px a side, with a manifest that states the mpp of each."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for number in range(images):
        pairs = [scene(4 * number + part) for part in range(4)]
        image, labels = (_two_by_two([pair[kind] for pair in pairs]) for kind in (0, 1))
        (root / "images" / f"{number}.png").write_bytes(imagecodecs.png_encode(image))
        (root / "labels" / f"{number}.png").write_bytes(imagecodecs.png_encode(labels.astype(np.uint16)))
    stated = {str(number): {"mpp": mpp} for number in range(images)}
    (root / "manifest.json").write_text(json.dumps(stated))
    return root


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("data")
    return [write_images(root / "fine", 3, 0.25), write_images(root / "coarse", 2, 0.4)]


@pytest.fixture(scope="module")
def packed(datasets: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("packed")
    torch.manual_seed(0)
    save_encoder(root / "encoder.safetensors", build_encoder("efficientnet-lite0"), {})
    model = ModelInfo("tiny", "liteunet0x2", 0.25, InstanceConfig())
    save_model(root / "model.safetensors", build("liteunet0x2"), model)
    (root / "tiny.yaml").write_text(RECIPE)
    (root / "bare.yaml").write_text("arch: resunet18\nfinetune: {precision: fp32}\n")
    job = PackJob(
        datasets,
        model=str(root / "model.safetensors"),
        encoders={"efficientnet-lite0": str(root / "encoder.safetensors")},
        recipes=[root / "tiny.yaml", root / "bare.yaml"],
        weights={"coarse": 2.0},
    )
    pack(job, root / "folder")
    return root / "folder"


@pytest.fixture(scope="module")
def joined_dataset(datasets: list[Path]) -> Dataset:
    return join_datasets({path.name: open_dataset(path) for path in datasets})


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def run(packed: Path, *words: str) -> Any:
    return command([words[0], "--data", str(packed), "--device", "cpu", *words[1:]])


def run_there(packed: Path, *words: str) -> Any:
    """The command out of the folder, with nothing installed but what a machine for torch has."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(packed / "code")}
    line = [sys.executable, "-c", ALONE, words[0], "--data", str(packed), "--device", "cpu", *words[1:]]
    done = subprocess.run(line, env=environment, timeout=300, text=True, capture_output=True, cwd=packed)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout[done.stdout.index("{\n") :])


def test_images_arrive_as_training_reads_them(packed: Path, joined_dataset: Dataset) -> None:
    bundle = Bundle.open(packed)
    split = bundle.split("everything")
    ids = [entry["id"] for entry in split["train"]]
    assert ids == list(joined_dataset.ids)
    expected = read_images(joined_dataset, everything(joined_dataset).train, 0.25, {"coarse": 2.0})
    for found, wanted in zip(bundle.images(ids), expected, strict=True):
        np.testing.assert_array_equal(found.image, wanted.image)
        np.testing.assert_array_equal(found.labels, wanted.labels)
        assert (found.id, found.stains) == (wanted.id, wanted.stains)
        assert found.weight == pytest.approx(wanted.weight)


@pytest.fixture(scope="module")
def at_twice(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("at_twice")
    return [write_images(root / name, 1, mpp) for name, mpp in [("exactly", 0.5), ("nearly", 0.495)]]


@pytest.fixture(scope="module")
def packed_at_twice(at_twice: list[Path], packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("packed_at_twice") / "folder"
    recipes = [packed.parent / "tiny.yaml", packed.parent / "bare.yaml"]
    model = str(packed / "reference" / "model.safetensors")
    pack(PackJob(at_twice, model=model, encoders={}, recipes=recipes, weights={}, folds=0), out)
    return Bundle.open(out)


def test_px_are_repeated_where_the_network_sees_the_image_as_it_is(
    packed_at_twice: Bundle, at_twice: list[Path]
) -> None:
    samples = list(join_datasets({path.name: open_dataset(path) for path in at_twice}))
    ids = [sample.id for sample in samples]
    pairs = zip(packed_at_twice.images(ids, 2), packed_at_twice.images(ids), samples, strict=True)
    for repeated, interpolated, sample in pairs:
        image, labels = sample.pair()
        np.testing.assert_array_equal(repeated.image, image.repeat(2, 0).repeat(2, 1))
        np.testing.assert_array_equal(repeated.labels, labels.repeat(2, 0).repeat(2, 1))
        for found, wanted in zip(
            (interpolated.image, interpolated.labels), sample.pair_at(0.25), strict=True
        ):
            np.testing.assert_array_equal(found, wanted)
        assert (repeated.image.shape != interpolated.image.shape) == (sample.dataset == "nearly")


def test_images_that_are_no_multiple_stay_interpolated(packed: Path) -> None:
    bundle = Bundle.open(packed)
    ids = list(bundle.content["images"])
    for found, wanted in zip(bundle.images(ids, 2), bundle.images(ids), strict=True):
        np.testing.assert_array_equal(found.image, wanted.image)


@pytest.mark.parametrize(("recipe", "upscale"), [("tiny", 2), ("bare", 1)])
def test_crops_are_those_that_training_makes_of_such_images(
    packed_at_twice: Bundle, at_twice: list[Path], recipe: str, upscale: int
) -> None:
    dataset = join_datasets({path.name: open_dataset(path) for path in at_twice})
    entries = [entry for entry in everything(dataset).train if entry.id.startswith("exactly")]
    values = packed_at_twice.recipe(recipe)
    network, ids = build(values["arch"]), [entry.id for entry in entries]
    task = training.segmentation(packed_at_twice, ids, values, 0, network, torch.device("cpu"))
    images = read_images(dataset, entries, 0.25, upscale=upscale)
    wanted = Crops(images, finetune_recipe(values), 0, upscale=upscale).batch(0)
    found = task.batch(0)
    for name in ("image", "classes"):
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=0)


def test_splits_are_those_of_the_command_line(packed: Path) -> None:
    names = list(Bundle.open(packed).content["splits"])
    assert names[:2] == ["everything", "holdout-1"]
    assert {"fold-1-of-5", "fold-5-of-5", "holdout-1-labels-10%"} <= set(names)


def test_a_damaged_image_is_named(packed: Path, tmp_path: Path) -> None:
    entry = next(iter(Bundle.open(packed).content["images"].values()))
    bundle = Bundle(packed, {**Bundle.open(packed).content, "images": {"x": {**entry, "image_sha256": "0"}}})
    with pytest.raises(InputError, match="Pack again"):
        bundle.images(["x"])
    with pytest.raises(InputError, match="not a folder that pack wrote"):
        Bundle.open(tmp_path)
    with pytest.raises(InputError, match="everything"):
        bundle.split("nothing")


def test_the_folder_has_a_limit_and_replaces_nothing(datasets: list[Path], packed: Path) -> None:
    model = packed / "reference" / "model.safetensors"
    job = PackJob(datasets[:1], model=str(model), encoders={}, recipes=[], weights={}, folds=0, limit_mib=1.0)
    with pytest.raises(OutputExists):
        pack(job, packed)
    with pytest.raises(UsageError, match="MiB"):
        pack(job, packed.with_name("large"))
    assert not [each for each in packed.parent.iterdir() if "large" in each.name]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--weight", "typo=2"), "'typo' cannot weigh 2.* coarse, fine"),
        (("--weight", "fine=inf"), "cannot weigh inf"),
        (("--weight", "fine=nan"), "cannot weigh nan"),
        (("--weight", "fine=0"), "cannot weigh 0"),
        (("--encoder", "foo"), "NAME=SOURCE, not 'foo'"),
        (("--encoder", "=imagenet"), "NAME=SOURCE, not '=imagenet'"),
    ],
)
def test_what_cannot_be_packed_is_refused(
    datasets: list[Path], tmp_path: Path, words: tuple[str, str], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        command(["pack", *map(str, datasets), "-o", str(tmp_path / "day"), *words])
    assert re.search(message, str(caught.value))
    assert caught.value.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_a_lone_dataset_has_no_weight(datasets: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lone dataset"):
        command(["pack", str(datasets[0]), "-o", str(tmp_path / "day"), "--weight", "fine=2"])


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
    monkeypatch.setattr(training, "_REHEARSED", 4)
    monkeypatch.setattr(slices, "_LEAVING_SECONDS", 0.5)
    words = ("finetune", "--recipe", "tiny", "--split", "holdout-1", "--interval", "1")
    found = run(packed, *words, "--minutes", "0.1", "--out", str(tmp_path))
    assert found["steps"] > 3
    assert found["step"] > 1
    rows = json.loads((tmp_path / "tiny-holdout-1-seed0.json").read_text())["log"]
    assert len(rows) == found["step"]


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
