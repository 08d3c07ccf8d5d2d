"""A large slide out of a small one: `python -m tests.benchmarks.repeat_slide SLIDE OUT.tiff --times 8 6`.

Level 0 of the slide stands side by side as often as asked for, written band by band as a tiled JPEG TIFF of one level
with the slide's own mpp.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsi_nucssl.geometry import Point
from wsi_nucssl.slide import Slide, open_slide, require_mpp

TILE = 256


def tiles(image: NDArray[np.uint8], cols: int, rows: int) -> Iterator[NDArray[np.uint8]]:
    """The TIFF tiles, in raster order, of `image` (row, col, 3) repeated over `cols` × `rows` tiles."""
    height, width = image.shape[:2]
    for row in range(rows):
        down = np.arange(row * TILE, (row + 1) * TILE) % height
        for col in range(cols):
            along = np.arange(col * TILE, (col + 1) * TILE) % width
            yield image[down[:, None], along]


def write(slide: Slide, path: Path, across: int, down: int) -> None:
    """Write the repeated slide."""
    image = slide.read_region(Point(0, 0), 0, slide.dimensions)
    height, width = image.shape[0] * down, image.shape[1] * across
    mpp = require_mpp(slide)
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        tiff.write(
            tiles(image, -(-width // TILE), -(-height // TILE)),
            shape=(height, width, 3),
            dtype=np.uint8,
            tile=(TILE, TILE),
            photometric="rgb",
            compression="jpeg",
            compressionargs={"level": 90},
            resolution=(1e4 / mpp.x, 1e4 / mpp.y),
            resolutionunit="CENTIMETER",
            metadata=None,
        )


def main() -> None:
    """Write the slide."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--times", type=int, nargs=2, default=(8, 6), metavar=("ACROSS", "DOWN"))
    arguments = parser.parse_args()
    with open_slide(arguments.slide) as slide:
        write(slide, arguments.output, *arguments.times)


if __name__ == "__main__":
    main()
