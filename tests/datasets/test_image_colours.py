"""Images of a dataset are trained on in their true colours, however they are stored."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from wsi_nucssl.datasets.images import read_rgb
from wsi_nucssl.errors import DatasetError
from wsi_nucssl.geometry import Size
from wsi_nucssl.slide import open_slide
from wsi_nucssl.testing.slide_readers import pattern

RGB = pattern(Size(64, 48))
GREY = np.repeat(RGB[..., :1], 3, axis=2)
ALPHA = np.full((48, 64, 1), 102, np.uint8)
OVER = np.rint(RGB * 0.4 + 153).astype(np.uint8)
SMOOTH = np.dstack(np.broadcast_arrays(np.arange(64)[None] * 3, np.arange(48)[:, None] * 4, 90)).astype(
    np.uint8
)


def _saved(image: Image.Image, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def _tiff(samples: np.ndarray, **how: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, metadata=None, **how)
    return file.getvalue()


PALETTED = Image.fromarray(RGB).quantize(64)
CASES: dict[str, tuple[bytes, np.ndarray, float]] = {
    "png": (_saved(Image.fromarray(RGB), "PNG"), RGB, 0),
    "png-16": (bytes(imagecodecs.png_encode(RGB * np.uint16(257))), RGB, 0),
    "png-grey": (_saved(Image.fromarray(RGB[..., 0]), "PNG"), GREY, 0),
    "png-grey-16": (bytes(imagecodecs.png_encode(RGB[..., 0] * np.uint16(257))), GREY, 0),
    "png-palette": (_saved(PALETTED, "PNG"), np.asarray(PALETTED.convert("RGB")), 0),
    "png-alpha": (_saved(Image.fromarray(np.dstack([RGB, ALPHA])), "PNG"), OVER, 1),
    "png-alpha-16": (bytes(imagecodecs.png_encode(np.dstack([RGB, ALPHA]) * np.uint16(257))), OVER, 1),
    "png-grey-alpha": (_saved(Image.fromarray(np.dstack([RGB[..., :1], ALPHA]), "LA"), "PNG"), OVER[..., :1], 1),
    "jpeg-cmyk": (_saved(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=98), SMOOTH, 12),
    "jpeg-grey": (_saved(Image.fromarray(SMOOTH[..., 0]), "JPEG", quality=98), SMOOTH[..., :1], 6),
    "webp-alpha": (_saved(Image.fromarray(np.dstack([RGB, ALPHA])), "WEBP", lossless=True), OVER, 1),
    "tiff-16": (_tiff(RGB * np.uint16(257), photometric="rgb"), RGB, 0),
    "tiff-12-in-16": (_tiff(RGB * np.uint16(16), photometric="rgb"), RGB, 1),
    "tiff-float": (_tiff((RGB / 255).astype(np.float32), photometric="rgb"), RGB, 0),
    "tiff-cmyk": (
        _tiff(np.dstack([255 - RGB, 0 * ALPHA]), photometric="separated", compression="deflate"), RGB, 0,
    ),
    "tiff-white-is-zero": (_tiff(255 - RGB[..., 0], photometric="miniswhite"), GREY, 0),
    "tiff-planes": (_tiff(RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"), RGB, 0),
    "tiff-alpha": (_tiff(np.dstack([RGB, ALPHA]), photometric="rgb", extrasamples=["unassalpha"]), OVER, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_true_colours(tmp_path: Path, name: str) -> None:
    data, truth, tolerance = CASES[name]
    (tmp_path / "image").write_bytes(data)
    got = read_rgb(tmp_path / "image")
    assert got.shape == (48, 64, 3)
    assert got.dtype == np.uint8
    assert np.abs(got.astype(int) - truth).max() <= tolerance


@pytest.mark.parametrize("name", [name for name in CASES if "jpeg" not in name])
def test_slides_and_datasets_see_the_same(tmp_path: Path, name: str) -> None:
    (tmp_path / "image").write_bytes(CASES[name][0])
    with open_slide(tmp_path / "image") as slide:
        assert np.array_equal(slide.read((0, 0, 64, 48)), read_rgb(tmp_path / "image"))


@pytest.mark.parametrize(
    "how", [{"photometric": "cielab"}, {"photometric": "rgb", "dtype": np.int8}, {"photometric": "logluv"}]
)
def test_uncertain_colours_are_refused_by_name(tmp_path: Path, how: dict[str, Any]) -> None:
    kind = how.pop("dtype", np.uint8)
    (tmp_path / "image.tif").write_bytes(_tiff(RGB.astype(kind), **how))
    with pytest.raises(DatasetError, match=r"photometric \w+, 8 bits.*compression NONE"):
        read_rgb(tmp_path / "image.tif")
