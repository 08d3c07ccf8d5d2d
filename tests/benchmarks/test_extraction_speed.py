"""Speed of extraction on one core; run with -m benchmark --benchmark-enable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from tests.pictures import read_labels
from wsi_nucssl.geometry import Box
from wsi_nucssl.nuclei.instances import label_instances
from wsi_nucssl.nuclei.seams import extract_block, extract_nuclei
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.stain import hematoxylin_od
from wsi_nucssl.nuclei.targets import three_class

pytestmark = pytest.mark.benchmark


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


@pytest.fixture(scope="module")
def image(monuseg: Path) -> Path:
    """The image whose count of nuclei is nearest to 600."""

    def distance(path: Path) -> int:
        return abs(len(np.unique(read_labels(path))) - 601)

    return min(sorted((monuseg / "labels").glob("*.png")), key=distance)


@pytest.fixture(scope="module")
def scene(image: Path) -> NDArray[np.uint8]:
    classes = three_class(read_labels(image), 2)
    planes = [cv2.GaussianBlur((classes == number) * np.float32(255), (0, 0), 1) for number in (1, 2)]
    return np.stack([*planes, planes[0] / 2]).astype(np.uint8)


def test_tile_to_polygons_with_measurements(benchmark: BenchmarkFixture, scene: NDArray[np.uint8]) -> None:
    nuclei = benchmark(extract_nuclei, scene, InstanceConfig())
    benchmark.extra_info["nuclei"] = len(nuclei)
    assert 500 < len(nuclei) < 700
    assert benchmark.stats is None or benchmark.stats["median"] <= 0.060


def test_block_with_halo(benchmark: BenchmarkFixture, scene: NDArray[np.uint8]) -> None:
    canvas = np.pad(scene, ((0, 0), (500, 500), (500, 500)), mode="symmetric")
    extent, core = Box(0, 0, 2000, 2000), Box(500, 500, 1500, 1500)

    def extract() -> int:
        return len(
            extract_block(
                lambda box: canvas[:, *box.rc], core, extent, InstanceConfig(), halo=64, max_halo=1024
            )
        )

    assert 500 < benchmark(extract) < 700


def test_labels_only(benchmark: BenchmarkFixture, scene: NDArray[np.uint8]) -> None:
    assert benchmark(label_instances, scene, InstanceConfig()).max() > 500


def test_hematoxylin(benchmark: BenchmarkFixture, monuseg: Path, image: Path) -> None:
    rgb = cv2.imread(str(monuseg / "images" / f"{image.stem}.webp"))
    benchmark(hematoxylin_od, rgb)
    assert benchmark.stats is None or benchmark.stats["median"] <= 0.015
