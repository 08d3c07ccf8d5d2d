"""Images of datasets are as strict as slides: what a lenient decoder would fill in with grey is an error."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsi_nucssl.datasets.images import read_rgb
from wsi_nucssl.errors import DatasetError


@pytest.fixture
def encoded() -> dict[str, bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    found = {}
    for kind in ("JPEG", "PNG", "WEBP"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind)
        found[kind] = file.getvalue()
    return found


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_cut_image_is_an_error(encoded: dict[str, bytes], tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(encoded[kind])
    assert read_rgb(path).shape == (96, 128, 3)
    path.write_bytes(encoded[kind][: len(encoded[kind]) // 2])
    with pytest.raises(DatasetError, match=str(path)):
        read_rgb(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_zeros_in_the_middle_of_an_image_are_an_error(
    encoded: dict[str, bytes], tmp_path: Path, kind: str
) -> None:
    middle = len(encoded[kind]) // 2
    path = tmp_path / "image"
    path.write_bytes(encoded[kind][:middle] + bytes(64) + encoded[kind][middle + 64 :])
    with pytest.raises(DatasetError, match=str(path)):
        read_rgb(path)
