"""A small dataset that tables are made of."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest

from tests.train.tiny import scene
from wsi_nucssl.datasets import Dataset, open_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("data")
    for folder in ("images", "labels"):
        (root / folder).mkdir()
    for number in range(6):
        for folder, pixels in zip(("images", "labels"), scene(number), strict=True):
            large = pixels.astype(np.uint8).repeat(3, axis=0).repeat(3, axis=1)
            (root / folder / f"{number}.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(large)))
    return open_dataset(root)
