"""Tiny slides whose pixels are a function of (x, y), so that every read has a known answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.slide.damage import Writer
from wsi_nucssl.geometry import Size
from wsi_nucssl.slide import RGB
from wsi_nucssl.testing.slide_readers import pattern as pattern_of

APERIO = "Aperio Image Library v12.0\r\n{w}x{h} (128x128) JPEG/RGB Q=90|AppMag = 40|MPP = 0.25"


def _pattern(width: int, height: int) -> RGB:
    return pattern_of(Size(width, height))


def _write_tiff(path: Path, image: RGB, downsamples: tuple[int, ...] = (1,), **how: Any) -> Path:
    description = how.pop("description", None)
    how = {"tile": (128, 128), "photometric": "rgb", "metadata": None, **how}
    with tifffile.TiffWriter(path) as tiff:
        for index, downsample in enumerate(downsamples):
            height, width = (side // downsample for side in image.shape[:2])
            level = np.ascontiguousarray(image[::downsample, ::downsample][:height, :width])
            tiff.write(level, subfiletype=min(index, 1), description=None if index else description, **how)
    return path


def write_pyramid(path: Path, image: RGB) -> Path:
    """A lossless generic tiled TIFF with levels 1, 2 and 4, at 0.25 µm per px."""
    return _write_tiff(
        path,
        image,
        (1, 2, 4),
        compression="deflate",
        predictor=True,
        resolution=(40_000, 40_000),
        resolutionunit="CENTIMETER",
    )


@pytest.fixture(scope="session")
def pattern() -> Callable[[int, int], RGB]:
    """(width, height) → RGB in which no two neighbourhoods look the same."""
    return _pattern


@pytest.fixture(scope="session")
def write_tiff() -> Callable[..., Path]:
    """(path, image, downsamples, **tifffile options) → a tiled TIFF whose levels are strided copies."""
    return _write_tiff


@pytest.fixture(scope="session")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lossless generic tiled TIFF of 900 × 700 px with levels 1, 2 and 4, at 0.25 µm per px."""
    return write_pyramid(tmp_path_factory.mktemp("slides") / "pyramid.tif", _pattern(900, 700))


@pytest.fixture(scope="session")
def odd_svs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Aperio file, JPEG, of 901 × 703 px with levels 1 and 2: the coarser one drops a column and a row."""
    return _write_tiff(
        tmp_path_factory.mktemp("slides") / "odd.svs",
        _pattern(901, 703),
        (1, 2),
        compression="jpeg",
        compressionargs={"level": 90, "outcolorspace": "rgb"},
        description=APERIO.format(w=901, h=703),
    )


@pytest.fixture(scope="session")
def tissue_svs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Aperio file, JPEG, of one level: a square of eosin on glass."""
    image = np.full((1600, 1600, 3), 243, np.uint8)
    image[400:1200, 400:1200] = (225, 160, 195)
    return _write_tiff(
        tmp_path_factory.mktemp("slides") / "tissue.svs",
        image,
        compression="jpeg",
        compressionargs={"level": 90, "outcolorspace": "rgb"},
        description=APERIO.format(w=1600, h=1600),
    )


@pytest.fixture
def tiff(tmp_path: Path, pattern: Callable[[int, int], RGB]) -> Writer:
    """(**tifffile options) → a TIFF of 300 × 260 px in tiles of 128 px."""

    def write(**how: Any) -> Path:
        big = how.pop("bigtiff", False)
        options = {"tile": (128, 128), "photometric": "rgb", "metadata": None, **how}
        with tifffile.TiffWriter(tmp_path / "slide.tif", bigtiff=big) as file:
            file.write(pattern(300, 260), **options)
        return tmp_path / "slide.tif"

    return write
