"""Hematoxylin planes: opened, shown as RGB, and the same density again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.datasets import factory
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.datasets.hematoxylin import render
from wsi_nucssl.datasets.images import read_pixels
from wsi_nucssl.errors import DatasetError
from wsi_nucssl.nuclei.stain import OD_STEP, hematoxylin_od


def test_each_grey_value_is_rendered_by_the_formula() -> None:
    plane = np.arange(256, dtype=np.uint8).reshape(16, 16)
    red, green, blue = np.array([0.65, 0.70, 0.29]) / (0.65**2 + 0.70**2 + 0.29**2) ** 0.5
    for value, pixel in zip(plane.ravel(), render(plane).reshape(-1, 3), strict=True):
        density = -np.log10(max(int(value), 1) / 255)
        wanted = [255 * 10 ** (-density * share) for share in (red, green, blue)]
        assert np.abs(pixel - wanted).max() <= 0.5
    assert render(plane)[-1, -1].tolist() == [255, 255, 255]


def test_the_rendered_image_has_the_density_of_the_plane() -> None:
    plane = np.arange(1, 256, dtype=np.uint8)[None]
    density = -np.log10(plane / 255)
    assert np.abs(hematoxylin_od(render(plane)) * OD_STEP - density).max() < 0.02


def test_planes_beside_labels(tmp_path: Path) -> None:
    plane = factory.image()[..., 0].copy()
    factory.write_png(tmp_path / "a_hema.png", plane)
    factory.write_png(tmp_path / "a_label.png", factory.labels().astype(np.uint16))
    factory.write_png(tmp_path / "b.png", factory.image(1))
    factory.write_png(tmp_path / "b_label.png", factory.labels(1).astype(np.uint16))
    dataset = open_dataset(tmp_path)
    assert [(sample.id, sample.stains) for sample in dataset] == [("a", "hematoxylin"), ("b", "h&e")]
    assert "1 of 2 images are hematoxylin planes" in dataset.notes[0]
    image, labels = dataset["a"].pair()
    np.testing.assert_array_equal(image, render(plane))
    np.testing.assert_array_equal(labels, factory.labels())
    np.testing.assert_array_equal(dataset["b"].image(), factory.image(1))


@pytest.mark.parametrize("plane", [factory.image(), factory.labels().astype(np.uint16)])
def test_what_is_no_plane_is_refused(tmp_path: Path, plane: np.ndarray) -> None:
    factory.write_png(tmp_path / "a_hema.png", plane)
    factory.write_png(tmp_path / "a_label.png", factory.labels().astype(np.uint16))
    with pytest.raises(DatasetError, match=r"a_hema\.png: not a plane of 8 bits"):
        open_dataset(tmp_path)["a"].image()


def test_the_real_planes(monuseg_bonus: Path) -> None:
    dataset = open_dataset(monuseg_bonus)
    assert len(dataset) == 7
    assert {sample.stains for sample in dataset} == {"hematoxylin"}
    assert {sample.mpp_source for sample in dataset} == {"Aperio XML"}
    assert [sample.mpp for sample in dataset] == [0.2472, 0.2525, 0.2527, 0.2527, 0.2527, 0.2525, 0.2525]
    assert sum(len(np.unique(sample.labels())) - 1 for sample in dataset) == 7173


def test_nuclei_are_dark_in_the_real_planes_and_symmetric_in_density(monuseg_bonus: Path) -> None:
    """What makes us read a plane as transmittance: linear in the density it would be skewed."""
    skews = []
    for sample in open_dataset(monuseg_bonus):
        plane = read_pixels(monuseg_bonus / f"{sample.id}_hema.png")
        inside = sample.labels() > 0
        assert np.median(plane[inside]) < np.median(plane[~inside]) - 100
        low, mid, high = np.percentile(-np.log10(np.maximum(plane[inside], 1) / 255), [5, 50, 95])
        dark, middle, bright = np.percentile(plane[inside].astype(float), [5, 50, 95])
        skews.append([(high - mid) / (mid - low), (bright - middle) / (middle - dark)])
    as_density, as_linear = np.median(skews, axis=0)
    assert 0.7 < as_density < 1.4
    assert as_linear > 2
