"""Validation and calibration on maps whose best settings are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.tiny import scene, write_dataset
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.engines.int8 import quantised_path
from wsi_nucssl.errors import UsageError
from wsi_nucssl.metrics import aji
from wsi_nucssl.metrics.drawing import draw_errors
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.nuclei.instances import label_instances
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.targets import three_class
from wsi_nucssl.train.calibrate import Calibration, Predicted, calibrate, predict_unseen, write_settings
from wsi_nucssl.train.crops import LabelledImage
from wsi_nucssl.train.validate import predictions, validate


def annotated(seed: int) -> LabelledImage:
    return LabelledImage(str(seed), *scene(seed))


def perfect_planes(labels: np.ndarray, strength: int) -> np.ndarray:
    classes = three_class(labels, 2)
    return np.stack([(classes == 1) * strength, (classes == 2) * strength, classes * 0]).astype(np.uint8)


def fitted(planes: list[np.ndarray], images: list[LabelledImage], start: InstanceConfig) -> Calibration:
    predicted = [Predicted(i.id, p, i.labels) for p, i in zip(planes, images, strict=True)]
    return calibrate({"all": predicted}, start)


def test_calibration_finds_thresholds_that_a_timid_network_needs() -> None:
    images = [annotated(seed) for seed in range(3)]
    timid = [
        perfect_planes(image.labels, 100) for image in images
    ]  # 100/255 is below the default of one half
    start = InstanceConfig()
    assert not label_instances(timid[0], start).any()
    found = fitted(timid, images, start)
    assert found.config.body <= 100 / 255
    assert found.mean_aji > 0.85
    for plane, image in zip(timid, images, strict=True):
        assert found.aji["all"][image.id] == aji(image.labels, label_instances(plane, found.config))


def test_calibration_never_loses() -> None:
    images = [annotated(seed) for seed in range(3)]
    planes = [perfect_planes(image.labels, 255) for image in images]
    start = InstanceConfig(min_area_px=16)
    before = np.mean([aji(i.labels, label_instances(p, start)) for p, i in zip(planes, images, strict=True)])
    assert fitted(planes, images, start).mean_aji >= before


def test_a_tie_keeps_what_was_there() -> None:
    """Black maps of an image without nuclei: every setting is right, so that none is better."""
    empty = LabelledImage("empty", annotated(1).image, np.zeros((96, 96), np.int32))
    start = InstanceConfig(body=0.45, regrow_px=4, min_marker_px=7)
    assert fitted([np.zeros((3, 96, 96), np.uint8)], [empty], start).config == start


def discs(*radii: int) -> np.ndarray:
    """A label image (96, 96) of discs in a row."""
    rows, cols = np.mgrid[:96, :96]
    labels = np.zeros((96, 96), np.int32)
    for number, radius in enumerate(radii):
        labels[(rows - 48) ** 2 + (cols - 20 - 28 * number) ** 2 < radius**2] = number + 1
    return labels


def test_calibration_finds_how_far_to_regrow() -> None:
    labels = discs(12, 12, 12)
    classes = three_class(labels, 5)
    planes = np.stack([(classes == 1) * 255, (classes == 2) * 255, classes * 0]).astype(np.uint8)
    image = LabelledImage("0", annotated(0).image, labels)
    found = fitted([planes], [image], InstanceConfig(regrow_px=2))
    assert found.config.regrow_px >= 5
    assert found.mean_aji > 0.95


def test_calibration_finds_which_specks_to_drop() -> None:
    labels = discs(10, 10)
    planes = perfect_planes(labels, 255)
    for col in range(8, 90, 12):
        planes[0, 8:12, col : col + 4] = 255  # 16 px that are no nucleus
    image = LabelledImage("0", annotated(0).image, labels)
    found = fitted([planes], [image], InstanceConfig(min_marker_px=4, min_area_px=4))
    assert not label_instances(planes, found.config)[:16].any()
    assert found.mean_aji > 0.95


def test_each_source_counts_as_much_as_another() -> None:
    """Nine images of one source want a low threshold, one of another a high one: each is heard alike."""
    labels = scene(0)[1]
    nucleus = labels == np.bincount(labels[labels > 0]).argmax()
    faint = np.zeros((3, 96, 96), np.uint8)
    faint[0] = nucleus * 135
    many = [Predicted(str(n), faint, nucleus.astype(np.int32)) for n in range(9)]
    one = [Predicted("one", faint, np.zeros((96, 96), np.int32))]
    found = calibrate({"many": many, "one": one}, InstanceConfig(body=0.5, foreground=0.5))
    assert found.means["many"] + found.means["one"] == 1
    assert found.mean_aji == 0.5


def trained_on(name: str, entries: list[dict[str, str]]) -> ModelInfo:
    provenance = {"split": {"train": entries, "validation": []}}
    return ModelInfo(name, "resunet18", 0.25, InstanceConfig(), provenance=provenance)


def test_models_are_judged_on_what_they_did_not_see(tmp_path: Path) -> None:
    data = open_dataset(write_dataset(tmp_path / "data"))
    torch.manual_seed(0)
    network = build("resunet18")
    hashes = [{"image_sha256": sample.hashes()[0]} for sample in data]
    paths = []
    for number in range(2):
        paths.append(tmp_path / f"{number}.safetensors")
        save_model(paths[-1], network, trained_on(str(number), [hashes[number]]))
    found = predict_unseen([load_model(path) for path in paths], {"data": data})
    assert [each.id for each in found["data"]] == ["0:1", "0:2", "1:0", "1:2"]
    quantised_path(paths[0]).write_bytes(b"of the settings before")
    write_settings(
        load_model(paths[0]),
        Calibration(InstanceConfig(body=0.65), {"data": {"a": 2 / 3}}),
        {"models": ["x"]},
    )
    assert not quantised_path(paths[0]).exists()
    written = load_model(paths[0])
    assert written.info.instances == InstanceConfig(body=0.65)
    assert written.info.provenance["calibration"] == {"means": {"data": 0.66667}, "models": ["x"]}
    for name, value in written.network.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])
    save_model(paths[1], network, trained_on("1", hashes))
    with pytest.raises(UsageError, match="trained on all images of data"):
        predict_unseen([load_model(paths[1])], {"data": data})


def test_validation_scores_each_image_and_shows_the_worst() -> None:
    torch.manual_seed(0)
    network, config = build("resunet18").eval(), InstanceConfig()
    images = [annotated(seed) for seed in range(2)]
    found = [label_instances(planes, config) for planes in predictions(network, images, torch.device("cpu"))]
    images[0] = LabelledImage("0", images[0].image, found[0])  # of which all is right
    scores = validate(network, images, torch.device("cpu"), config)
    assert scores.aji == {"0": 1.0, "1": aji(images[1].labels, found[1])}
    assert scores.dice1["0"] == 1.0 > scores.dice1["1"]
    assert scores.mean_aji == np.mean([scores.aji["0"], scores.aji["1"]])
    drawn = [
        draw_errors(image.image, image.labels, labels) for image, labels in zip(images, found, strict=True)
    ]
    np.testing.assert_array_equal(scores.worst, drawn[1])
    assert not np.array_equal(drawn[0], drawn[1])


def test_an_image_without_nuclei_speaks_for_finding_none() -> None:
    full, empty = annotated(0), LabelledImage("empty", annotated(1).image, np.zeros((96, 96), np.int32))
    faint = np.zeros((3, 96, 96), np.uint8)
    faint[0, 20:30, 20:30] = 140  # a nucleus at the default threshold
    start = InstanceConfig()
    assert label_instances(faint, start).any()
    planes = [perfect_planes(full.labels, 255), faint]
    found = fitted(planes, [full, empty], start)
    assert not label_instances(faint, found.config).any()
    assert found.aji["all"]["empty"] == 1
    assert found.mean_aji > 0.9


def test_validation_on_nothing_but_empty_images_is_a_number() -> None:
    torch.manual_seed(0)
    empty = LabelledImage("empty", annotated(1).image, np.zeros((96, 96), np.int32))
    scores = validate(build("resunet18").eval(), [empty], torch.device("cpu"), InstanceConfig())
    assert scores.mean_aji in (0, 1)
    assert scores.mean_dice1 in (0, 1)
