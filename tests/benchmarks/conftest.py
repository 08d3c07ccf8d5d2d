"""Large slides for the benchmarks, made in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from sample_slides.scene import Scene, whole
from wsi_nucssl.geometry import Size

TILE = 240


@pytest.fixture(scope="session")
def repeated_slide(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A function that makes a slide of tissue of a given side in px."""

    def make(side: int) -> Path:
        path = tmp_path_factory.mktemp("slide") / f"{side}.tiff"
        write_repeated(path, side)
        return path

    return make


def write_repeated(path: Path, side: int) -> None:
    """A slide of any size in seconds: tissue everywhere, made of the tiles of one small scene over and over."""
    image = Scene(Size(2400, 2400), seed=1).render(whole(Size(2400, 2400)))[480:1920, 480:1920]
    tiles = [
        bytes(
            imagecodecs.jpeg_encode(
                np.ascontiguousarray(image[y : y + TILE, x : x + TILE]), level=80, outcolorspace="ycbcr"
            )
        )
        for y in range(0, len(image), TILE)
        for x in range(0, image.shape[1], TILE)
    ]

    def repeated(count: int) -> Iterator[bytes]:
        return (tiles[index % len(tiles)] for index in range(count))

    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for reduction in (1, 4, 16, 64):
            level = side // reduction
            tiff.write(
                repeated((-(-level // TILE)) ** 2),
                shape=(level, level, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                subfiletype=int(reduction > 1),
                resolution=(40_000 / reduction, 40_000 / reduction),
                resolutionunit="CENTIMETER",
                photometric="rgb",
                compression="jpeg",
                subsampling=(2, 2),
                metadata=None,
            )
