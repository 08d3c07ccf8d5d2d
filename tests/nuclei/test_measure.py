"""Measurements against scikit-image and against shapes of known size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from skimage.measure import regionprops

from tests.nuclei.scenes import perfect
from tests.pictures import read_labels
from wsi_nucssl.nuclei.instances import label_instances
from wsi_nucssl.nuclei.seams import extract_nuclei
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.table import MEASUREMENTS, Nuclei

AS_IS = InstanceConfig(regrow_px=0, min_marker_px=0, min_area_px=0)


def column(nuclei: Nuclei, name: str) -> NDArray[np.float32]:
    values: NDArray[np.float32] = nuclei.measurements[:, MEASUREMENTS.index(name)]
    return values


def measured(mask: NDArray[np.bool_]) -> dict[str, float]:
    (row,) = extract_nuclei(perfect(mask, mask), AS_IS).measurements
    return dict(zip(MEASUREMENTS, row.tolist(), strict=True))


@pytest.fixture(scope="module")
def scene(monuseg: Path) -> NDArray[np.uint8]:
    """A real label image as probabilities with noise."""
    labels = read_labels(sorted((monuseg / "labels").glob("*.png"))[0])
    rng = np.random.default_rng(0)
    contour = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
    body = (labels > 0) & ~contour
    scene = perfect(body, labels > 0)
    scene[:2] -= (scene[:2] * rng.uniform(0, 0.3, scene[:2].shape)).astype(np.uint8)
    return scene


def test_agrees_with_scikit_image(scene: NDArray[np.uint8]) -> None:
    nuclei = extract_nuclei(scene, InstanceConfig())
    nucleus = np.minimum(scene[0].astype(float) + scene[1], 255) / 255
    planes = np.stack([nucleus, scene[2] * 0.01], axis=-1)
    regions = regionprops(label_instances(scene, InstanceConfig()), planes)
    assert len(regions) == len(nuclei) > 300
    np.testing.assert_array_equal(column(nuclei, "area"), [region.area for region in regions])
    # scikit-image's pixel is a point, ours a square of variance 1/12; an axis is 4 standard deviations
    major = np.sqrt([region.axis_major_length**2 + 16 / 12 for region in regions])
    minor = np.sqrt([region.axis_minor_length**2 + 16 / 12 for region in regions])
    np.testing.assert_allclose(column(nuclei, "major_axis"), major, rtol=1e-6)
    np.testing.assert_allclose(column(nuclei, "minor_axis"), minor, rtol=1e-6)
    np.testing.assert_allclose(column(nuclei, "eccentricity"), np.sqrt(1 - (minor / major) ** 2), atol=1e-5)
    means = np.array([region.intensity_mean for region in regions])
    np.testing.assert_allclose(column(nuclei, "probability"), means[:, 0], rtol=1e-6)
    np.testing.assert_allclose(column(nuclei, "hematoxylin_od"), means[:, 1], rtol=1e-5)
    # scikit-image counts the pixels of the hull; we take the area of the hull
    np.testing.assert_allclose(column(nuclei, "solidity"), [r.solidity for r in regions], atol=0.1)
    hulls = shapely.convex_hull([shapely.MultiPoint(nuclei.rings(i)[0]) for i in range(len(nuclei))])
    np.testing.assert_allclose(
        column(nuclei, "solidity"), column(nuclei, "area") / shapely.area(hulls), rtol=1e-6
    )
    crofton = [region.perimeter_crofton for region in regions]
    np.testing.assert_allclose(column(nuclei, "perimeter"), crofton, rtol=0.1)


@pytest.mark.parametrize(("radius", "tolerance"), [(5, 0.09), (8, 0.07), (12, 0.05), (20, 0.03), (50, 0.02)])
def test_discs_measure_like_circles(radius: int, tolerance: float) -> None:
    rows, cols = np.indices((2 * radius + 9, 2 * radius + 9)) - (radius + 4)
    disc = measured(rows**2 + cols**2 <= radius**2)
    assert disc["perimeter"] == pytest.approx(2 * np.pi * radius, rel=tolerance)
    assert disc["circularity"] > 0.88
    assert disc["major_axis"] == pytest.approx(2 * radius, rel=0.03)
    assert disc["eccentricity"] < 0.1
    assert disc["solidity"] > 0.85


@pytest.mark.parametrize("degrees", range(0, 180, 15))
def test_perimeter_hardly_depends_on_the_angle(degrees: int) -> None:
    canvas = np.zeros((160, 160), np.uint8)
    corners = cv2.boxPoints(((80.0, 80.0), (100.0, 40.0), float(degrees)))
    cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], 1)
    assert measured(canvas > 0)["perimeter"] == pytest.approx(284, rel=0.07)


def test_a_single_pixel() -> None:
    mask = np.zeros((3, 3), bool)
    mask[1, 1] = True
    pixel = measured(mask)
    assert pixel["area"] == pixel["solidity"] == pixel["probability"] == 1
    assert pixel["major_axis"] == pixel["minor_axis"] == pytest.approx(4 / np.sqrt(12))
    assert pixel["eccentricity"] == 0


def test_solidity_of_an_l() -> None:
    mask = np.zeros((12, 12), bool)
    mask[1:11, 1:3] = True
    mask[9:11, 1:11] = True
    assert measured(mask)["solidity"] == pytest.approx(36 / (100 - 8 * 8 / 2), rel=1e-6)
