"""A million nuclei to GeoParquet; run with -m benchmark --benchmark-enable, alone for an honest peak of memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.test_geojson_speed import BLOCK, VERTICES, block_of_nuclei, peak_mib
from wsi_nucssl.export.base import ExportContext, export
from wsi_nucssl.export.geoparquet import PARQUET
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.nuclei.table import Nuclei

pytestmark = pytest.mark.benchmark


def round_nuclei(count: int, pitch: int = 1000, across: int = 100) -> Iterator[Nuclei]:
    """Blocks of nuclei that have an area and a centroid, `across` in a row, `pitch` px apart."""
    rng = np.random.default_rng(0)
    block = block_of_nuclei(rng)
    angle = np.linspace(0, 2 * np.pi, VERTICES)
    radius = rng.uniform(8, 20, (BLOCK, 1))
    rings = (
        np.rint(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2)) + block.seed_xy[:, None]
    )
    rings[:, -1] = rings[:, 0]
    for number in range(count):
        shift = np.array([number % across, number // across]) * pitch
        ring_xy = (rings.reshape(-1, 2) + shift).astype(np.int32)
        yield replace(block, seed_xy=block.seed_xy + shift, ring_xy=ring_xy)


def test_a_million_nuclei(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    path = tmp_path / "million.parquet"
    context = ExportContext(CanvasTransform(0.501, 0.501), Mpp.square(0.25), "s", {})

    def write(count: int) -> int:
        return export({path: PARQUET}, round_nuclei(count), context)

    write(10)
    before = peak_mib()
    assert benchmark.pedantic(write, args=(1000,), rounds=1) == 1_000_000
    benchmark.extra_info |= {"peak growth MiB": peak_mib() - before, "file MB": path.stat().st_size / 1e6}
    assert peak_mib() < 700
    assert path.stat().st_size < 350e6
    assert benchmark.stats is None or benchmark.stats["median"] <= 30
