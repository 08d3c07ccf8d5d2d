"""What is packed for a day on a GPU arrives as it left: images, crops, splits; and what cannot be packed."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays

from scripts.gpu_day import training
from scripts.gpu_day.__main__ import command
from scripts.gpu_day.bundle import Bundle, packed_planes, unpacked_planes
from scripts.gpu_day.collect import collect
from scripts.gpu_day.pack import PackJob, pack
from scripts.gpu_day.recipe import finetune_recipe
from scripts.gpu_day.teachers import with_packed_teachers
from tests.scripts.gpu_folder import run, write_images
from wsi_nucssl.datasets import Dataset, everything, join_datasets, open_dataset
from wsi_nucssl.errors import InputError, OutputExists, UsageError
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.train.crops import Crops
from wsi_nucssl.train.images import read_images
from wsi_nucssl.train.teachers import Teachers


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


@given(planes=arrays(np.uint8, (2, 3, 5)))
def test_probabilities_travel_in_steps(planes: np.ndarray) -> None:
    found = unpacked_planes(packed_planes(planes))
    assert found.dtype == np.uint8
    assert found.shape == planes.shape
    assert np.abs(found.astype(int) - planes).max() <= 8
    np.testing.assert_array_equal(unpacked_planes(packed_planes(found)), found)


def test_what_teachers_say_travels_and_is_learnt(packed: Path, tmp_path: Path) -> None:
    data, model = write_images(tmp_path / "data", 2, 0.25), str(packed / "reference" / "model.safetensors")
    cv2.imwrite(str(data / "labels" / "1.png"), np.zeros((192, 192), np.uint16))
    recipes = [packed.parent / "bare.yaml"]
    job = PackJob([data], model, {}, recipes, {}, folds=0, teachers_of_all=[model])
    pack(job, tmp_path / "day")
    bundle = Bundle.open(tmp_path / "day")
    image, empty = with_packed_teachers(bundle, bundle.images(["0", "1"]))
    assert image.teacher is not None
    assert empty.teacher is not None
    expected = Teachers.load([], 0.25, [model]).predict(image.image, "")
    assert np.abs(image.teacher.astype(int) - expected).max() <= 8
    assert image.teacher.any()
    assert not empty.teacher.any()
    words = ("finetune", "--recipe", "bare", "--crops", "8", "--interval", "1")
    shipped = {}
    for name, more in (("plain", ()), ("taught", ("--packed-teachers",))):
        run(tmp_path / "day", *words, *more, "--out", str(tmp_path / name))
        collect(tmp_path / name, tmp_path / name / "whole")
        (shipped[name],) = (tmp_path / name / "whole").glob("*.safetensors")
    plain, taught = (load_model(path) for path in shipped.values())
    assert plain.info.provenance["teachers"] == []
    assert taught.info.provenance["teachers"] == bundle.content["teachers"] == [load_model(model).sha256]
    assert shipped["plain"].read_bytes() != shipped["taught"].read_bytes()


def test_where_no_teachers_were_packed_none_teach(packed: Path) -> None:
    bundle = Bundle.open(packed)
    with pytest.raises(InputError, match="no probabilities of teachers") as caught:
        with_packed_teachers(bundle, [])
    assert "--teacher" in str(caught.value.remedy)


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


def test_a_dataset_that_is_kept_apart_trains_only_where_everything_does(
    datasets: list[Path], packed: Path, tmp_path: Path
) -> None:
    model = str(packed / "reference" / "model.safetensors")
    job = PackJob(
        datasets, model=model, encoders={}, recipes=[], weights={}, folds=3, apart=[datasets[1].name]
    )
    pack(job, tmp_path / "folder")
    splits = Bundle.open(tmp_path / "folder").content["splits"]
    apart = {f"{datasets[1].name}/{number}" for number in range(2)}
    for name, split in splits.items():
        train, held = ({entry["id"] for entry in split[part]} for part in ("train", "validation"))
        assert not train & held
        assert (apart <= train) if name == "everything" else (apart <= held and not apart & train), name
    folds = [split for name, split in splits.items() if name.startswith("fold-")]
    assert len(folds) == 3
    assert len({entry["id"] for fold in folds for entry in fold["validation"]}) == 5


def test_only_a_dataset_can_be_kept_apart(datasets: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="coarse, fine"):
        command(["pack", *map(str, datasets), "-o", str(tmp_path / "day"), "--apart", "typo"])
    assert not list(tmp_path.iterdir())


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
