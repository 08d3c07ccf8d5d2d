"""Speed of the whole tile job, against decoding alone and against the plain loop, all in one run.

python -m pytest tests/benchmarks/test_tile_speed.py -m benchmark --benchmark-enable -s --basetemp=/dev/shm/bench
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile
import zarr

from wsi_nucssl.geometry import Box, Mpp
from wsi_nucssl.slide import open_slide
from wsi_nucssl.tiles.ingest import TileConfig, ingest
from wsi_nucssl.tiles.store import TileStore

pytestmark = pytest.mark.benchmark

CORES = os.cpu_count() or 1
ROUNDS = 3
FEW = 60
"""Tiles for the slow loops: their rate does not depend on how many."""
MPP = Mpp.square(0.25)


@pytest.fixture(scope="module")
def slide_path(repeated_slide: Callable[[int], Path]) -> Path:
    return repeated_slide(20_000)


@pytest.fixture(scope="module")
def store(slide_path: Path, tmp_path_factory: pytest.TempPathFactory) -> TileStore:
    with open_slide(slide_path) as slide:
        return ingest(slide, tmp_path_factory.mktemp("store") / "s.zarr", TileConfig(MPP, codec="none"))


def whole_job(slide_path: Path, destination: Path, codec: str) -> None:
    with open_slide(slide_path) as slide:
        ingest(slide, destination, TileConfig(MPP, codec=codec))  # type: ignore[arg-type]


def plain_loop(slide_path: Path, destination: Path, boxes: list[Box], **options: Any) -> None:
    """What one writes without this package: OpenSlide's read_region into a zarr array, tile by tile."""
    with openslide.OpenSlide(slide_path) as slide:
        width, height = slide.dimensions
        array = zarr.create_array(
            destination, shape=(height, width, 3), chunks=(1000, 1000, 3), dtype="uint8", **options
        )
        for box in boxes:
            region = slide.read_region((box.x0, box.y0), 0, (box.width, box.height))
            array[box.rc] = np.asarray(region.convert("RGB"))


class StoredTiles:
    """The slide's own JPEG tiles under some boxes, read into memory beforehand."""

    def __init__(self, slide_path: Path, boxes: list[Box]) -> None:
        with tifffile.TiffFile(slide_path) as tiff:
            page = tiff.pages.first
            side, cols = page.tilewidth, -(-page.imagewidth // page.tilewidth)
            wanted = {
                row * cols + col
                for box in boxes
                for row in range(box.y0 // side, -(-box.y1 // side))
                for col in range(box.x0 // side, -(-box.x1 // side))
            }
            self._tables = page.jpegtables
            self._data = []
            for index in sorted(wanted):
                tiff.filehandle.seek(page.dataoffsets[index])
                self._data.append(tiff.filehandle.read(page.databytecounts[index]))

    def decode(self) -> None:
        """Decode all, on all cores, and keep nothing."""
        with ThreadPoolExecutor(CORES) as pool:
            for _ in pool.map(
                lambda data: imagecodecs.jpeg8_decode(data, tables=self._tables) is None, self._data
            ):
                pass


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def test_tile_job_keeps_up_with_decoding(slide_path: Path, store: TileStore, tmp_path: Path) -> None:
    boxes = [tile.core for tile in store]
    few = boxes[:FEW]
    stored = StoredTiles(slide_path, boxes)
    out = tmp_path / "out.zarr"
    jobs: dict[str, tuple[int, Callable[[], None]]] = {
        "decode alone": (len(boxes), stored.decode),
        "tile --codec none": (len(boxes), lambda: whole_job(slide_path, out, "none")),
        "tile --codec zstd": (len(boxes), lambda: whole_job(slide_path, out, "zstd")),
        "tile --codec jpeg": (len(boxes), lambda: whole_job(slide_path, out, "jpeg")),
        "plain loop, no codec": (len(few), lambda: plain_loop(slide_path, out, few, compressors=None)),
        "plain loop, zarr's default": (len(few), lambda: plain_loop(slide_path, out, few)),
    }
    rate = dict.fromkeys(jobs, 0.0)
    for _ in range(ROUNDS):
        for name, (tiles, job) in jobs.items():
            rate[name] = max(rate[name], tiles / seconds(job))
            shutil.rmtree(out, ignore_errors=True)
    print(f"\n{len(boxes)} tissue tiles of 1000 px, {CORES} cores, best of {ROUNDS}")
    for name, value in rate.items():
        print(f"  {name:28s} {value:7.1f} tiles/s   {value / rate['decode alone']:5.0%} of decoding")
    assert rate["tile --codec none"] >= 0.6 * rate["decode alone"]
    assert rate["tile --codec none"] >= 3 * rate["plain loop, no codec"]
