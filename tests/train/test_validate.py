"""Validation and calibration on maps whose best settings are known."""

from __future__ import annotations

import numpy as np
import torch

from tests.train.tiny import scene
from wsi_nucssl.metrics import aji
from wsi_nucssl.models.spec import build
from wsi_nucssl.nuclei.instances import InstanceConfig, label_instances
from wsi_nucssl.nuclei.targets import three_class
from wsi_nucssl.train.crops import LabelledImage
from wsi_nucssl.train.validate import calibrate, validate


def annotated(seed: int) -> LabelledImage:
    return LabelledImage(str(seed), *scene(seed))


def perfect_planes(labels: np.ndarray, strength: int) -> np.ndarray:
    classes = three_class(labels, 2)
    return np.stack([(classes == 1) * strength, (classes == 2) * strength, classes * 0]).astype(np.uint8)


def test_calibration_finds_thresholds_that_a_timid_network_needs() -> None:
    images = [annotated(seed) for seed in range(3)]
    timid = [
        perfect_planes(image.labels, 100) for image in images
    ]  # 100/255 is below the default of one half
    start = InstanceConfig()
    assert not label_instances(timid[0], start).any()
    found = calibrate(timid, images, start)
    assert found.config.body <= 100 / 255
    assert found.mean_aji > 0.85
    for plane, image in zip(timid, images, strict=True):
        assert found.aji[image.id] == aji(image.labels, label_instances(plane, found.config))


def test_calibration_never_loses() -> None:
    images = [annotated(seed) for seed in range(3)]
    planes = [perfect_planes(image.labels, 255) for image in images]
    start = InstanceConfig(min_area_px=16)
    before = np.mean([aji(i.labels, label_instances(p, start)) for p, i in zip(planes, images, strict=True)])
    assert calibrate(planes, images, start).mean_aji >= before


def test_validation_scores_each_image_and_shows_the_worst() -> None:
    torch.manual_seed(0)
    images = [annotated(seed) for seed in range(2)]
    scores = validate(build("resunet18").eval(), images, torch.device("cpu"), InstanceConfig())
    assert set(scores.aji) == set(scores.dice1) == {"0", "1"}
    assert scores.mean_aji == np.mean([scores.aji["0"], scores.aji["1"]])
    assert scores.worst.shape == images[0].image.shape


def test_an_image_without_nuclei_speaks_for_finding_none() -> None:
    full, empty = annotated(0), LabelledImage("empty", annotated(1).image, np.zeros((96, 96), np.int32))
    faint = np.zeros((3, 96, 96), np.uint8)
    faint[0, 20:30, 20:30] = 140  # a nucleus at the default threshold
    start = InstanceConfig()
    assert label_instances(faint, start).any()
    planes = [perfect_planes(full.labels, 255), faint]
    found = calibrate(planes, [full, empty], start)
    assert not label_instances(faint, found.config).any()
    assert found.aji["empty"] == 1
    assert found.mean_aji > 0.9


def test_validation_on_nothing_but_empty_images_is_a_number() -> None:
    torch.manual_seed(0)
    empty = LabelledImage("empty", annotated(1).image, np.zeros((96, 96), np.int32))
    scores = validate(build("resunet18").eval(), [empty], torch.device("cpu"), InstanceConfig())
    assert scores.mean_aji in (0, 1)
    assert scores.mean_dice1 in (0, 1)
