"""A million nuclei to a label image of 50k × 50k px; run with -m benchmark --benchmark-enable, alone for an honest
peak of memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.test_geojson_speed import peak_mib
from tests.benchmarks.test_parquet_speed import round_nuclei
from wsi_nucssl.export.base import ExportContext, export
from wsi_nucssl.export.labels import ZARR
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.geometry import Mpp, Size

pytestmark = pytest.mark.benchmark

SIDE, ACROSS = 50_000, 32


def test_a_million_nuclei(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    path = tmp_path / "million.zarr"
    context = ExportContext(CanvasTransform(1.0, 1.0), Mpp.square(0.25), "s", {}, extent=Size(SIDE, SIDE))

    def write(count: int) -> int:
        return export({path: ZARR}, round_nuclei(count, SIDE // ACROSS, ACROSS), context)

    write(10)
    before = peak_mib()
    assert benchmark.pedantic(write, args=(1000,), rounds=1) == 1_000_000
    size = sum(file.stat().st_size for file in path.rglob("*"))
    benchmark.extra_info |= {"peak growth MiB": peak_mib() - before, "MB": size / 1e6, "peak MiB": peak_mib()}
    assert peak_mib() < 900
    assert size < 200e6
    assert benchmark.stats is None or benchmark.stats["median"] <= 360
