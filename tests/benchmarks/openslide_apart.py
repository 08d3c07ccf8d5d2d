"""What reading through OpenSlide costs in a process of its own: `python -m tests.benchmarks.openslide_apart SLIDE…`.

Each round reads level 0 in regions by the reader, then by OpenSlide in this process, with one thread and with two.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Final

import numpy as np
import openslide

from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.grid import TileGrid
from wsi_nucssl.photometric import flatten_alpha
from wsi_nucssl.slide import RGB, open_slide

_ROUNDS: Final = 9
_MOST: Final = 64
"""Regions a round."""


def _seconds(read: Callable[[Box], RGB], boxes: list[Box], threads: int) -> float:
    """Of all but the first regions, one a thread, over which each begins."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, boxes[:threads]))
        begun = perf_counter()
        for _ in pool.map(read, boxes[threads:]):
            pass
        return perf_counter() - begun


def _apart(path: Path, boxes: list[Box], threads: int) -> tuple[float, float]:
    """Seconds to open, and to read."""
    begun = perf_counter()
    with open_slide(path, reader="openslide") as slide:
        opened = perf_counter() - begun
        return opened, _seconds(lambda box: slide.read_level(0, box), boxes, threads)


def _within(path: Path, boxes: list[Box], threads: int) -> tuple[float, float]:
    begun = perf_counter()
    with openslide.OpenSlide(path) as slide:
        opened = perf_counter() - begun

        def read(box: Box) -> RGB:
            return flatten_alpha(np.asarray(slide.read_region((box.x0, box.y0), 0, (box.width, box.height))))

        return opened, _seconds(read, boxes, threads)


def main() -> None:
    """Print the medians of paired rounds."""
    parser = argparse.ArgumentParser(description="OpenSlide in a process of its own against in this one.")
    parser.add_argument("slides", nargs="+", type=Path)
    parser.add_argument("--side", type=int, default=1024, help="of a region, px")
    options = parser.parse_args()
    for path in options.slides:
        with openslide.OpenSlide(path) as slide:
            grid = TileGrid(Size(*slide.dimensions), Size(options.side, options.side))
        boxes = [tile.core for tile in grid][:_MOST]
        for threads in (1, 2):
            pairs = [(_apart(path, boxes, threads), _within(path, boxes, threads)) for _ in range(_ROUNDS)]
            reading = statistics.median(apart[1] / within[1] for apart, within in pairs)
            opening = statistics.median(apart[0] - within[0] for apart, within in pairs)
            seconds = statistics.median(within[1] for _, within in pairs)
            print(
                f"{path.name}, {threads} threads: {len(boxes)} regions in {seconds:.2f} s, apart {reading:.3f} of it;"
                f" opening takes {opening:.2f} s more"
            )


if __name__ == "__main__":
    main()
