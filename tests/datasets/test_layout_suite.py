"""Every layout passes the suite that authors of layouts are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.datasets import factory
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
