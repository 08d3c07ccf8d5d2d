"""A million nuclei to GeoJSON; run with -m benchmark --benchmark-enable, alone for an honest peak of memory."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from wsi_nucssl.export.geojson import write_geojson
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.geometry import Mpp, Size
from wsi_nucssl.grid import TileGrid
from wsi_nucssl.nuclei.table import MEASUREMENTS, Nuclei
from wsi_nucssl.segment.plausibility import NucleusTally
from wsi_nucssl.segment.seam_figure import SeamFigure

pytestmark = pytest.mark.benchmark

BLOCK, VERTICES = 1000, 30


def block_of_nuclei(rng: np.random.Generator) -> Nuclei:
    """A block of nuclei of 30 vertices each, the closing one included."""
    anchor = rng.integers(0, 1000, (BLOCK, 2))
    rings = (anchor[:, None] + rng.integers(0, 30, (BLOCK, VERTICES, 2))).astype(np.int32)
    rings[:, -1] = rings[:, 0]
    return Nuclei(
        anchor,
        rings.reshape(-1, 2),
        np.arange(BLOCK + 1) * VERTICES,
        np.arange(BLOCK + 1),
        rng.uniform(0, 500, (BLOCK, len(MEASUREMENTS))).astype(np.float32),
        np.zeros(BLOCK, np.bool_),
    )


def blocks(count: int) -> Iterator[Nuclei]:
    block = block_of_nuclei(np.random.default_rng(0))
    for number in range(count):
        shift = np.array([number % 100, number // 100]) * 1000
        yield replace(block, seed_xy=block.seed_xy + shift, ring_xy=block.ring_xy + shift.astype(np.int32))


def saved_blocks(folder: Path, count: int) -> Path:
    """The same blocks as a run keeps them."""
    for number, block in enumerate(blocks(count)):
        block.save(folder / f"{number:05d}.npz", (number, 0))
    return folder


def loaded(folder: Path, seams: list[SeamFigure], areas: NucleusTally) -> Iterator[Nuclei]:
    """Saved blocks as a run gives them on: read, and counted."""
    grid = TileGrid(Size(100_000, 10_000), Size(1024, 1024))
    for number, path in enumerate(sorted(folder.iterdir())):
        block = Nuclei.load(path, (number, 0))
        seams[0] += SeamFigure.of(block, grid)
        areas.add(block)
        yield block


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_a_million_nuclei(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    path = tmp_path / "million.geojson"

    def write(count: int) -> int:
        return write_geojson(
            path, blocks(count), CanvasTransform(0.501, 0.501), mpp=Mpp.square(0.25), identity="s", header={}
        )

    write(10)
    before = peak_mib()
    assert benchmark.pedantic(write, args=(1000,), rounds=3) == 1_000_000
    benchmark.extra_info |= {"peak growth MiB": peak_mib() - before, "file MB": path.stat().st_size / 1e6}
    assert peak_mib() - before < 50
    assert benchmark.stats is None or benchmark.stats["median"] <= 10


def test_a_million_nuclei_from_tables(tmp_path: Path) -> None:
    """What a run does with tables beyond writing them, reading and counting, takes 3 s of CPU time and no memory."""
    folder = tmp_path / "blocks"
    folder.mkdir()
    saved_blocks(folder, 1000)
    path = tmp_path / "million.geojson"
    seconds = {"written": 0.0, "from tables": 0.0}
    for _ in range(2):  # the first round compiles and warms up
        for name in seconds:
            seams, areas = [SeamFigure()], NucleusTally()
            tables = blocks(1000) if name == "written" else loaded(folder, seams, areas)
            before, begun = peak_mib(), process_time()
            assert (
                write_geojson(
                    path, tables, CanvasTransform(0.501, 0.501), mpp=Mpp.square(0.25), identity="s", header={}
                )
                == 1_000_000
            )
            seconds[name], growth = process_time() - begun, peak_mib() - before
    print(f"\nCPU seconds: {seconds}; peak grew by {growth:.0f} MiB in the last round")
    assert areas.nuclei == 1_000_000
    assert growth < 10
    assert seconds["from tables"] - seconds["written"] <= 3
