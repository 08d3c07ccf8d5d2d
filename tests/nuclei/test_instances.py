"""Probabilities to instances."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from tests.nuclei.reference import instances
from tests.nuclei.scenes import configs, perfect, scenes
from tests.pictures import read_labels
from wsi_nucssl.errors import UsageError
from wsi_nucssl.nuclei.instances import label_instances
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.targets import three_class


def as_scene(picture: str) -> NDArray[np.uint8]:
    """'#' body, '+' boundary, anything else background."""
    rows = np.array([list(line.strip()) for line in picture.strip().splitlines()])
    return perfect(rows == "#", (rows == "#") | (rows == "+"))


def as_picture(labels: NDArray[np.int32]) -> str:
    return "\n".join("".join(".123456789"[label] for label in row) for row in labels)


PLAIN = InstanceConfig(min_marker_px=0, min_area_px=0)


@settings(max_examples=60, deadline=None)
@given(scenes(), configs)
def test_equals_plain_loops(scene: NDArray[np.uint8], config: InstanceConfig) -> None:
    labels = label_instances(scene, config)
    expected = np.zeros_like(labels)
    for number, (_, pixels) in enumerate(sorted(instances(scene, config).items()), 1):
        expected[tuple(np.array(sorted(pixels)).T)] = number
    np.testing.assert_array_equal(labels, expected)


def test_touching_nuclei_stay_apart_and_meet_halfway() -> None:
    labels = label_instances(as_scene(".#++++#.\n.#++++#."), PLAIN)
    assert as_picture(labels) == ".111222.\n.111222."


def test_regrowth_stops_after_its_iterations() -> None:
    labels = label_instances(as_scene("#++++++"), InstanceConfig(regrow_px=3, min_marker_px=0, min_area_px=0))
    assert as_picture(labels) == "1111..."


def test_holes_are_filled_unless_somebody_lives_there() -> None:
    empty = as_scene("#####\n#...#\n#...#\n#####")
    assert label_instances(empty, PLAIN).min() == 1
    housed = as_scene("#######\n#.....#\n#..#..#\n#.....#\n#######")
    assert as_picture(label_instances(housed, PLAIN)) == "1111111\n1.....1\n1..2..1\n1.....1\n1111111"


def test_a_bay_open_at_the_image_edge_is_no_hole() -> None:
    assert as_picture(label_instances(as_scene("#..#\n####"), PLAIN)) == "1..1\n1111"


def test_specks_are_dropped() -> None:
    scene = as_scene("##.#\n##..")
    config = InstanceConfig(min_marker_px=2, min_area_px=0, regrow_px=0)
    assert as_picture(label_instances(scene, config)) == "11..\n11.."
    config = InstanceConfig(min_marker_px=0, min_area_px=5, regrow_px=0)
    assert not label_instances(scene, config).any()


@pytest.mark.parametrize(
    "change", [{"body": 0.0}, {"foreground": 1.1}, {"regrow_px": -1}, {"min_area_px": -1}]
)
def test_impossible_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        InstanceConfig(**change)  # type: ignore[arg-type]


def test_config_survives_as_plain_data() -> None:
    config = InstanceConfig(body=0.4, regrow_px=6)
    assert InstanceConfig(**asdict(config)) == config


def plain_aji(true: NDArray[np.int32], pred: NDArray[np.int32]) -> float:
    """AJI of Kumar et al. 2017 from a dense table of overlaps."""
    table = np.histogram2d(
        true.ravel(), pred.ravel(), bins=[np.arange(true.max() + 2), np.arange(pred.max() + 2)]
    )[0]
    area_true, area_pred = table.sum(1), table.sum(0)
    shared, united, chosen = 0.0, 0.0, set()
    for i in range(1, len(area_true)):
        if area_true[i] == 0:
            continue
        union = area_true[i] + area_pred[1:] - table[i, 1:]
        iou = table[i, 1:] / np.maximum(union, 1)
        best = int(iou.argmax()) if iou.any() else -1
        shared += table[i, best + 1] if best >= 0 else 0
        united += union[best] if best >= 0 else area_true[i]
        chosen.add(best + 1)
    return float(shared / (united + sum(area_pred[j] for j in range(1, len(area_pred)) if j not in chosen)))


@pytest.mark.parametrize("band_px", [2, 3])
def test_perfect_maps_give_the_labels_back(monuseg: Path, band_px: int) -> None:
    config = InstanceConfig(regrow_px=band_px + 2, min_marker_px=1, min_area_px=1)
    scores = []
    for path in sorted((monuseg / "labels").glob("*.png")):
        labels = read_labels(path).astype(np.int32)
        classes = three_class(labels, band_px)
        scores.append(plain_aji(labels, label_instances(perfect(classes == 1, classes > 0), config)))
    assert np.mean(scores) >= 0.98
