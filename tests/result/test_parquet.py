"""A Parquet file gives back the result that the GeoJSON gives back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.segment import fakes
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.result import read_nuclei
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.run import Steps, segment_slide

OTHERS = ("parquet", "h5ad", "spatialdata.zarr")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> dict[str, Path]:
    """The sample slide's nuclei."""
    folder = tmp_path_factory.mktemp("run")
    outputs = {name: folder / f"n.{name}" for name in ("geojson", "csv", "zarr", *OTHERS)}
    engine = fakes.DarkIsNucleus()
    segment_slide(sample, outputs.values(), fakes.model(), SegmentOptions(), engine=engine, steps=Steps())
    return outputs


@pytest.mark.parametrize("name", OTHERS)
def test_it_is_the_result_of_the_geojson(
    paths: dict[str, Path], sample: Path, tmp_path: Path, name: str
) -> None:
    expected = read_nuclei(paths["geojson"], slide=sample)
    result = read_nuclei(paths[name], slide=sample)
    assert len(result) > 50
    assert result.table.equals(expected.table)
    assert result.header == expected.header
    assert result.frame == expected.frame
    assert all(a.equals_exact(b, 1e-9) for a, b in zip(result.polygons, expected.polygons, strict=True))
    np.testing.assert_array_equal(result.labels, expected.labels)
    written = result.to_geojson(tmp_path / "again.geojson")
    assert written.read_bytes() == paths["geojson"].read_bytes()
    assert len(read_nuclei(result[[3, 1]].to_geojson(tmp_path / "two.geojson"))) == 2


def test_a_contradicting_mpp_is_refused(paths: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="contradicts"):
        read_nuclei(paths["parquet"], mpp=0.5)


def test_what_lacks_outlines_or_measurements_is_refused(paths: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"n\.zarr: a \.zarr file holds no measurements"):
        read_nuclei(paths["zarr"])
    with pytest.raises(InputError, match=r"n\.csv: a \.csv file holds no outlines"):
        read_nuclei(paths["csv"])
