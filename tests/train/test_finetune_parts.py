"""Parts of a fine-tuning run: which images, how many steps, what an epoch leaves, what a job reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.train.tiny import SIDE, job, recipe, scene, write_dataset
from wsi_nucssl.datasets import Dataset, open_dataset
from wsi_nucssl.errors import UsageError, WeightsError
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.train import finetune, finetune_outputs
from wsi_nucssl.train.crops import LabelledImage
from wsi_nucssl.train.finetune import _make_loop, _validation_aji
from wsi_nucssl.train.finetune_job import FinetuneJob
from wsi_nucssl.train.finetune_outputs import FinetuneOutputs
from wsi_nucssl.train.history import History
from wsi_nucssl.train.images import _type_table, read_images
from wsi_nucssl.train.interval import Interval
from wsi_nucssl.train.job import SplitChoice, make_job, parse_weights
from wsi_nucssl.train.targets import UNKNOWN_TYPE
from wsi_nucssl.train.validate import Validation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=13)


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return open_dataset(folder)


@pytest.fixture(scope="module")
def network() -> ResUNet:
    torch.manual_seed(0)
    return build("resunet18")


@pytest.mark.parametrize(("images", "held"), [(2, 1), (7, 1), (8, 2), (12, 2), (13, 3)])
def test_a_fifth_of_the_images_validates_and_at_least_one(dataset: Dataset, images: int, held: int) -> None:
    split = SplitChoice().apply(dataset.subset(dataset.ids[:images]))
    assert (len(split.train), len(split.validation)) == (images - held, held)
    assert SplitChoice(seed=1).apply(dataset) != SplitChoice(seed=2).apply(dataset)


def test_the_first_and_the_last_fold_are_folds(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="cannot make 1 folds"):
        SplitChoice(fold="1/1").apply(dataset)
    last, first = (SplitChoice(fold=fold).apply(dataset) for fold in ("13/13", "1/13"))
    assert len(last.validation) == len(first.validation) == 1
    assert last.validation != first.validation
    for fold in ("14/13", "0/13", "1/13/2", "-1/13", "1/0", " 1/3"):
        with pytest.raises(UsageError, match="1 ≤ i ≤ k"):
            SplitChoice(fold=fold).apply(dataset)


def test_the_whole_fraction_is_the_split_itself(dataset: Dataset) -> None:
    whole = SplitChoice().apply(dataset)
    assert SplitChoice(fraction=1.0).apply(dataset) == whole
    assert len(SplitChoice(fraction=0.5).apply(dataset).train) == len(whole.train) // 2


@pytest.mark.parametrize(
    "two",
    [
        {"fold": "1/3", "train_all": True},
        {"held_out": ("a",), "train_all": True},
        {"file": Path("split.json"), "train_all": True},
        {"fold": "1/3", "held_out": ("a",)},
    ],
)
def test_two_ways_to_split_are_one_too_many(dataset: Dataset, two: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="`split`, `fold`, `hold_out`, `train_all`"):
        SplitChoice(**two).apply(dataset)


def test_weights_are_read_from_behind_the_last_sign() -> None:
    assert parse_weights([]) == {}
    assert parse_weights(["a=2", "b=c=0.5", "d=1e-3"]) == {"a": 2.0, "b=c": 0.5, "d": 0.001}
    for wrong in ("=2", "a", "a=", "a=b", ""):
        with pytest.raises(UsageError, match="NAME=W"):
            parse_weights(["a=2", wrong])


class Point(nn.Module):
    """What a loop needs of a network."""

    upscale = 1

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


@pytest.mark.parametrize(
    ("images", "crops", "batch_size", "processes", "epochs", "steps"),
    [(3, 5, 4, 1, 3, 9), (3, 5, 5, 1, 2, 6), (2, 1, 8, 1, 4, 4), (1, 16, 8, 1, 1, 2), (5, 5, 3, 2, 2, 8)],
)
def test_an_epoch_has_so_many_crops_of_each_image(
    folder: Path, images: int, crops: int, batch_size: int, processes: int, epochs: int, steps: int
) -> None:
    """In whole batches of all processes, and in at least one."""
    made = job(folder, crops_per_image=crops, batch_size=batch_size, epochs=epochs)
    training = [LabelledImage(str(number), *scene(number)) for number in range(images)]
    network: Any = Point()
    accelerator: Any = SimpleNamespace(
        num_processes=processes, device=torch.device("cpu"), prepare=lambda *given: given
    )
    loop = _make_loop(made, network, training, accelerator, 2)
    assert (loop.steps, loop.step, loop.loader_threads) == (steps, 0, 2)
    assert len(loop.task.batch(0)["image"]) == batch_size


def test_doubts_about_images_are_told_and_how_many_were_seen_before(
    folder: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = replace(job(folder), split=SplitChoice().apply(dataset.hashed()))
    validation = [entry.image_sha256 for entry in made.split.validation]
    asked: list[tuple[str, ...]] = []

    def implausible(some: Dataset) -> list[str]:
        asked.append(some.ids)
        return ["one looks odd", "so does another"]

    monkeypatch.setattr(finetune, "implausible", implausible)
    said: list[str] = []
    finetune._warn_of_images(made, frozenset(), said.append)
    assert said == ["one looks odd", "so does another"]
    assert sorted(asked[0]) == sorted(dataset.ids)
    finetune._warn_of_images(made, frozenset([*validation[1:], "other"]), said.append)
    assert len(said) == 5
    assert "trained on 2 of the 3 validation images" in said[-1]
    training = frozenset(entry.image_sha256 for entry in made.split.train)
    finetune._warn_of_images(made, training, said.append)
    assert len(said) == 7


def test_what_ends_a_run_is_read_or_named(tmp_path: Path) -> None:
    done = tmp_path / "done.json"
    for value in (0.5, None, 1):
        done.write_text(json.dumps({"validation_aji": value}))
        assert _validation_aji(done) == value
    for damaged in ("", "{", "{}", "[1]", "3", '{"validation_aji": "much"}', '{"validation_aji": [1]}'):
        done.write_text(damaged)
        with pytest.raises(WeightsError, match=r"done\.json.*`resume`"):
            _validation_aji(done)


def test_a_job_names_all_that_it_reads(folder: Path, tmp_path: Path) -> None:
    """None of them may be written over."""
    files = [tmp_path / f"{name}.safetensors" for name in ("encoder", "start", "first", "second")]
    for file in files:
        file.write_bytes(b"")
    encoder, start, first, second = map(str, files)
    made = job(folder)
    data = (folder, folder / "labels")
    assert made.inputs == data
    assert replace(made, encoder="imagenet").inputs == data
    assert replace(made, encoder=encoder).inputs == (*data, files[0])
    assert replace(made, start=start, teachers=(first, second)).inputs == (*data, *files[2:], files[1])


def test_a_manifest_names_torch_by_its_release_and_says_nothing_of_what_is_not_used(folder: Path) -> None:
    manifest = job(folder).manifest()
    assert manifest["torch"] == torch.__version__.partition("+")[0]
    assert manifest.keys() == {
        *("kind", "version", "torch", "arch", "encoder", "mpp", "seed", "split", "recipe"),
    }
    assert "processes" not in job(folder).manifest(1)
    assert job(folder).manifest(3)["processes"] == 3


def test_images_within_scanners_scatter_of_the_networks_mpp_are_not_resampled(folder: Path) -> None:
    for mpp, resampled in ((0.25, False), (0.2549, False), (0.256, True), (0.5, True)):
        made = make_job([folder], split=SplitChoice(), recipe=recipe(), own_mpp=mpp)
        assert ("image_mpp" in made.manifest()) is resampled


def test_an_image_at_the_networks_own_mpp_is_read_as_it_is_though_it_upscales(dataset: Dataset) -> None:
    split = SplitChoice(train_all=True).apply(dataset)
    ((plain, *_), (fine, *_)) = (
        read_images(dataset, split.train[:1], 0.25, {"": 3.0}, upscale=upscale) for upscale in (1, 2)
    )
    for image in (plain, fine):
        assert image.image.shape == (SIDE, SIDE, 3)
        assert image.weight == 3.0
        assert image.teacher is None
        assert image.types is None
    np.testing.assert_array_equal(plain.image, dataset[plain.id].image())


def test_types_are_numbered_as_the_network_has_them_and_others_are_unknown() -> None:
    class Typed:
        def types(self) -> dict[int, str]:
            return {2: "b", 5: "a", 3: "c", 9: "c"}

    sample: Any = Typed()
    assert _type_table(sample, ("a", "b")).tolist() == [255, 255, 1, 255, 255, 0]
    assert _type_table(sample, ("d",)).tolist() == [UNKNOWN_TYPE]


class Loop:
    """What the outputs of a run ask of a loop."""

    def __init__(self, result: ResUNet, steps: int, *, first: bool = True) -> None:
        self.result, self.steps, self.step = result, steps, 0
        self.accelerator = SimpleNamespace(is_main_process=first, device=torch.device("cpu"))
        self.saved: list[Path] = []

    def save(self, path: Path) -> None:
        self.saved.append(path)

    def load(self, path: Path) -> None:
        self.step = int(path.read_text())


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[ModelInfo]:
    """The headers of the weights that are written; every validation scores its number."""
    infos: list[ModelInfo] = []
    validations = iter(range(1, 99))

    def validate(_network: ResUNet, *_: object) -> Validation:
        number = next(validations) + 0.123456789
        return Validation({"x": number, "y": number / 2}, {"x": number}, np.zeros((4, 4, 3), np.uint8))

    monkeypatch.setattr(finetune_outputs, "save_model", lambda _path, _network, info: infos.append(info))
    monkeypatch.setattr(finetune_outputs, "validate", validate)
    monkeypatch.setattr(History, "show_curves", lambda *_, **__: None)
    return infos


def outputs_of(
    made: FinetuneJob, run: Path, loop: Loop, images: int, rows: list[Mapping[str, float]]
) -> FinetuneOutputs:
    run.mkdir(exist_ok=True)
    validation = [LabelledImage(str(number), *scene(number)) for number in range(images)]
    given: Any = loop
    return FinetuneOutputs(made, {"kind": "finetune"}, run, given, validation, rows.append)


def interval(step: int) -> Interval:
    return Interval(step, 3, {"loss": 0.123456789}, 1.23456, 0.123456)


@pytest.mark.parametrize(
    ("every", "validated"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (3, [3, 5]), (9, [5])]
)
def test_epochs_are_validated_now_and_then_and_the_last_one_always(
    folder: Path, network: ResUNet, tmp_path: Path, written: list[ModelInfo], every: int, validated: list[int]
) -> None:
    rows: list[Mapping[str, float]] = []
    made, loop = job(folder, epochs=5, validate_every=every, boundary_px=3), Loop(network, 15)
    outputs = outputs_of(made, tmp_path / "run", loop, 2, rows)
    assert outputs.epoch_steps == 3
    assert outputs.config == InstanceConfig(regrow_px=6)
    for step in (3, 6, 9, 12, 15):
        outputs.end_epoch(interval(step))
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["step"] for row in rows] == [3, 6, 9, 12, 15]
    assert [row["epoch"] for row in rows if "validation_aji" in row] == validated
    assert {(row["seconds"], row["loader_share"], row["loss"]) for row in rows} == {(1.23, 0.1235, 0.12346)}
    scored = [row for row in rows if "validation_aji" in row]
    for number, row in enumerate(scored, start=1):
        assert row["validation_aji"] == round((number + 0.123456789) * 0.75, 5)
        assert row["validation_dice1"] == round(number + 0.123456789, 5)
    names = sorted(path.name for path in (tmp_path / "run" / "overlays").iterdir())
    assert names == [f"epoch-000{epoch}.png" for epoch in validated]
    assert loop.saved == [tmp_path / "run" / "state.pt"] * 5
    last = written[-1]
    assert (last.name, last.arch, last.mpp) == ("run", "liteunet0x2", 0.25)
    assert last.provenance["kind"] == "finetune"
    assert last.provenance["scores"] == {
        "epoch": 5,
        "validation_aji": scored[-1]["validation_aji"],
        "validation_images": {
            "x": round(len(scored) + 0.123456789, 5),
            "y": round((len(scored) + 0.123456789) / 2, 5),
        },
    }
    assert len(written) == 5


def test_an_epoch_that_was_cut_short_counts_as_one(
    folder: Path, network: ResUNet, tmp_path: Path, written: list[ModelInfo]
) -> None:
    rows: list[Mapping[str, float]] = []
    outputs = outputs_of(job(folder, epochs=5), tmp_path / "run", Loop(network, 15), 0, rows)
    for step in (2, 4, 15):
        outputs.end_epoch(interval(step))
    assert [row["epoch"] for row in rows] == [1, 2, 5]
    assert written[-1].provenance["scores"] == {"epoch": 5}


def test_only_the_first_process_writes(
    folder: Path, network: ResUNet, tmp_path: Path, written: list[ModelInfo]
) -> None:
    rows: list[Mapping[str, float]] = []
    outputs = outputs_of(job(folder), tmp_path / "run", Loop(network, 4, first=False), 2, rows)
    outputs.begin()
    outputs.end_epoch(interval(2))
    outputs.finish()
    assert not list((tmp_path / "run").iterdir())
    assert not rows
    assert not written


def test_outputs_take_up_the_state_that_is_there(
    folder: Path, network: ResUNet, tmp_path: Path, written: list[ModelInfo]
) -> None:
    rows: list[Mapping[str, float]] = []
    first = outputs_of(job(folder), tmp_path / "run", Loop(network, 6), 0, rows)
    for step in (3, 6):
        first.end_epoch(interval(step))
    (tmp_path / "run" / "state.pt").write_text("3")
    again = outputs_of(job(folder), tmp_path / "run", Loop(network, 6), 0, rows)
    assert again.loop.step == 3
    assert again.history.rows == [rows[0]]
    assert len(written) == 2
