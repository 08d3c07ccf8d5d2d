"""A real image somewhere on a canvas, cut into blocks of any size: the same GeoJSON features."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from tests.pictures import read_labels, read_rgb
from wsi_nucssl.export.geojson import write_geojson
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.geometry import Box, Mpp
from wsi_nucssl.nuclei.seams import extract_block
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.stain import hematoxylin_od
from wsi_nucssl.nuclei.targets import three_class


def plausible(image: Path, labels: Path) -> NDArray[np.uint8]:
    """Probabilities like a network's: classes of the labels, blurred, with smooth noise, and real hematoxylin."""
    classes = three_class(read_labels(labels), 2)
    noise = np.random.default_rng(0).normal(0, 0.8, (2, *classes.shape)).astype(np.float32)
    planes: list[NDArray[np.float32]] = [
        np.clip(cv2.GaussianBlur((classes == number) + noise[number - 1], (0, 0), 1.5), 0, 1)
        for number in (1, 2)
    ]
    planes[1] = np.minimum(planes[1], 1 - planes[0])
    return np.stack(
        [*(np.rint(plane * 255).astype(np.uint8) for plane in planes), hematoxylin_od(read_rgb(image))]
    )


@pytest.mark.parametrize("number", [0, 17])
def test_blocks_do_not_change_the_features(monuseg: Path, tmp_path: Path, number: int) -> None:
    image = sorted((monuseg / "images").glob("*.webp"))[number]
    scene = plausible(image, monuseg / "labels" / f"{image.stem}.png")
    rng = np.random.default_rng(number)
    left, top, right, bottom = rng.integers(0, 400, 4)
    canvas = np.pad(scene, ((0, 0), (top, bottom), (left, right)))
    extent = Box(0, 0, canvas.shape[2], canvas.shape[1])

    def features(block: int) -> list[dict[str, object]]:
        cores = (
            Box(x, y, x + block, y + block).clip(extent)
            for y in range(0, extent.y1, block)
            for x in range(0, extent.x1, block)
        )
        tables = (
            extract_block(
                lambda box: canvas[:, *box.rc], core, extent, InstanceConfig(), halo=48, max_halo=1024
            )
            for core in cores
        )
        path = tmp_path / f"{block}.geojson"
        write_geojson(path, tables, CanvasTransform(0.5, 0.5), mpp=Mpp.square(0.25), identity="s", header={})
        found: list[dict[str, object]] = orjson.loads(path.read_bytes())["features"]
        return sorted(found, key=lambda feature: str(feature["id"]))

    whole = features(2000)
    assert len(whole) > 300
    for block in (256, 500, 1000):
        assert features(block) == whole
