"""Teachers: an image is taught by the networks that did not see it, and by their mean."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.train.tiny import recipe, write_dataset
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.errors import WeightsError
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.segment.images import predict_image
from wsi_nucssl.train.crops import Crops
from wsi_nucssl.train.images import read_images
from wsi_nucssl.train.job import SplitChoice
from wsi_nucssl.train.teachers import Teachers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("teachers")


@pytest.fixture(scope="module")
def data(folder: Path) -> Path:
    return write_dataset(folder / "data")


@pytest.fixture(scope="module")
def teachers(folder: Path, data: Path) -> list[str]:
    """Two networks that differ; the first was trained on image 0, the second on images 0 and 1."""
    hashes = [{"image_sha256": sample.hashes()[0]} for sample in open_dataset(data)]
    paths = []
    for number, seen in enumerate((hashes[:1], hashes[:2])):
        torch.manual_seed(number)
        network = build("resunet18")
        provenance = {"split": {"train": seen, "validation": []}}
        paths.append(folder / f"{number}.safetensors")
        save_model(
            paths[-1],
            network,
            ModelInfo(str(number), "resunet18", 0.25, InstanceConfig(), provenance=provenance),
        )
    return [str(path) for path in paths]


def test_an_image_is_taught_by_those_that_did_not_see_it(data: Path, teachers: list[str]) -> None:
    dataset = open_dataset(data)
    taught = Teachers.load(teachers, 0.25)
    engines = [open_engine(load_model(path), "cpu") for path in teachers]
    for name, expected in (("0", engines), ("1", engines[:1]), ("2", engines)):
        image, sha256 = dataset[name].image(), dataset[name].hashes()[0]
        planes = [predict_image(engine, image)[:2].astype(float) for engine in expected]
        mean = sum(planes) / len(planes)
        found = taught.predict(image, sha256)
        assert found.dtype == np.uint8
        assert np.abs(found - mean).max() <= 0.5
    first, second = (predict_image(engine, image)[:2] for engine in engines)
    assert not np.array_equal(first, second)


def test_a_teacher_of_all_is_asked_about_what_it_saw(data: Path, teachers: list[str]) -> None:
    dataset = open_dataset(data)
    taught = Teachers.load(teachers[:1], 0.25, teachers[1:])
    engines = [open_engine(load_model(path), "cpu") for path in teachers]
    for name, expected in (("0", engines[1:]), ("1", engines), ("2", engines)):
        image, sha256 = dataset[name].image(), dataset[name].hashes()[0]
        mean = np.mean([predict_image(engine, image)[:2].astype(float) for engine in expected], axis=0)
        assert np.abs(taught.predict(image, sha256) - mean).max() <= 0.5


def test_what_teachers_see_goes_with_the_crop(data: Path, teachers: list[str]) -> None:
    dataset = open_dataset(data)
    split = SplitChoice(train_all=True).apply(dataset)
    images = read_images(dataset, split.train, 0.25, {"": 2.0}, teachers)
    assert {image.weight for image in images} == {2.0}
    assert all(image.teacher is not None and image.teacher.shape == (2, 96, 96) for image in images)
    batch = Crops(images, recipe(), 0).batch(0)
    assert tuple(batch["teacher"].shape) == (2, 2, 64, 64)
    assert "teacher" not in Crops(read_images(dataset, split.train, 0.25), recipe(), 0).batch(0)


def test_teachers_are_not_asked_about_an_image_without_a_nucleus(tmp_path: Path, teachers: list[str]) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for name, nucleus in (("glass", 0), ("tissue", 1)):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), noise)
        cv2.imwrite(str(tmp_path / "labels" / f"{name}.png"), np.full((64, 64), nucleus, np.uint16))
    dataset = open_dataset(tmp_path)
    images = read_images(dataset, SplitChoice(train_all=True).apply(dataset).train, 0.25, None, teachers)
    planes = {image.id: image.teacher for image in images}
    assert planes["glass"] is not None
    assert planes["tissue"] is not None
    assert not planes["glass"].any()
    assert planes["tissue"].any()


def test_a_teacher_of_another_mpp_is_refused(folder: Path, teachers: list[str]) -> None:
    coarse = folder / "coarse.safetensors"
    save_model(coarse, build("resunet18"), ModelInfo("coarse", "resunet18", 0.5, InstanceConfig()))
    with pytest.raises(WeightsError, match=r"0\.5 µm per px, but the new network at 0\.25"):
        Teachers.load([*teachers, str(coarse)], 0.25)
