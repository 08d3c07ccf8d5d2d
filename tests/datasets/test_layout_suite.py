"""Every layout passes the suite that authors of layouts are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import shapely.affinity
import shapely.geometry

from tests.datasets import factory, geojson
from wsi_nucssl.datasets.sample import Image, LabelImage
from wsi_nucssl.testing.layouts import LayoutTests

Written = Sequence[tuple[Image, LabelImage]]
NAMES = ("b", "a", "c")


class TestFolders(LayoutTests):
    layout = "folders"

    def write(self, folder: Path, written: Written) -> Sequence[str]:
        for name, (image, labels) in zip(NAMES, written, strict=True):
            factory.write_png(folder / "images" / f"{name}.png", image)
            factory.write_png(folder / "labels" / f"{name}.png", labels.astype(np.uint16))
        return NAMES


class TestBeside(LayoutTests):
    layout = "beside"

    def write(self, folder: Path, written: Written) -> Sequence[str]:
        for name, (image, labels) in zip(NAMES, written, strict=True):
            factory.write_png(folder / f"{name}.png", image)
            np.save(folder / f"{name}_mask.npy", labels)
        return NAMES


class TestPannuke(LayoutTests):
    layout = "pannuke"

    def write(self, folder: Path, written: Written) -> Sequence[str]:
        masks = np.zeros((len(written), *written[0][1].shape, 6))
        for place, (_, labels) in enumerate(written):
            masks[place, ..., 0] = labels
        (folder / "fold1").mkdir()
        np.save(folder / "fold1" / "images.npy", np.stack([image for image, _ in written]).astype(np.float64))
        np.save(folder / "fold1" / "masks.npy", masks)
        return [f"fold1-{place:05d}" for place in range(len(written))]


class _Numbered(LayoutTests):
    """Layouts of outlines, which have no ids of their own: nuclei are 1, 2, … in the order of the file."""

    @pytest.fixture
    def written(self) -> list[tuple[Image, LabelImage]]:
        rng = np.random.default_rng(1)
        images = rng.integers(0, 256, (3, 14, 19, 3), dtype=np.uint8)
        labels = np.zeros((3, 14, 19), np.int32)
        labels[:2, 2:5, 3:9] = 1
        labels[:2, 5:7, 3:4] = 1
        labels[:2, 8:13, 12:19] = 2
        labels[0, 0:2, 0:2] = 3
        return [*zip(images, labels, strict=True)]


class TestQuPathBeside(_Numbered):
    layout = "beside"

    def write(self, folder: Path, written: Written) -> Sequence[str]:
        for name, (image, labels) in zip(NAMES, written, strict=True):
            factory.write_png(folder / f"{name}.png", image)
            geojson.write(folder / f"{name}.geojson", geojson.of_labels(labels, "cell"))
        return NAMES


class TestQuPathFolders(_Numbered):
    layout = "folders"

    def write(self, folder: Path, written: Written) -> Sequence[str]:
        for name, (image, labels) in zip(NAMES, written, strict=True):
            factory.write_tiff(folder / "images" / f"{name}.tif", image)
            geojson.write(folder / "labels" / f"{name}.geojson", geojson.of_labels(labels, "detection"))
        return NAMES


class TestRegions(_Numbered):
    """Each image is a rectangle of a larger one, between others that are not finished."""

    layout = "regions"

    def write(self, folder: Path, written: Written) -> Sequence[str]:
        image, drawn = np.zeros((60, 80, 3), np.uint8), []
        for place, (part, labels) in enumerate(written):
            x, y = 5 + 22 * place, 3 + 15 * place
            image[y : y + 14, x : x + 19] = part
            drawn.append(geojson.feature((x, y, x + 19, y + 14), name="Region"))
            for each in geojson.of_labels(labels, "detection"):
                moved = shapely.affinity.translate(shapely.geometry.shape(each["geometry"]), x, y)
                drawn.append({**each, "geometry": shapely.geometry.mapping(moved)})
        drawn.append(geojson.feature((70, 2, 78, 8), "detection"))
        factory.write_png(folder / "slide.png", image)
        geojson.write(folder / "slide.geojson", drawn)
        return [f"slide-x{5 + 22 * place}-y{3 + 15 * place}" for place in range(len(written))]


class TestCoco(_Numbered):
    layout = "coco"

    def write(self, folder: Path, written: Written) -> Sequence[str]:
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, (name, (image, labels)) in enumerate(zip(NAMES, written, strict=True)):
            factory.write_png(folder / "images" / f"{name}.png", image)
            images.append({"id": number, "file_name": f"{name}.png", "height": 14, "width": 19})
            for label in np.unique(labels[labels > 0]):
                flat = (labels == label).ravel(order="F")
                edges = np.flatnonzero(np.diff(flat.astype(np.int8), prepend=0, append=0))
                counts = np.diff([0, *edges, flat.size]) if edges[-1] < flat.size else np.diff([0, *edges])
                mask = {"size": [14, 19], "counts": counts.tolist()}
                annotations.append(
                    {"id": len(annotations), "image_id": number, "category_id": 1, "segmentation": mask}
                )
        content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "nucleus"}]}
        (folder / "annotations.json").write_bytes(orjson.dumps(content))
        return NAMES
