"""A Parquet file gives back the result that the GeoJSON gives back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely

from tests.segment import fakes
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.export.csv import COLUMN_NAMES
from wsi_nucssl.result import read_nuclei
from wsi_nucssl.result.points import shown_outlines
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


def test_what_lacks_measurements_is_refused(paths: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"n\.zarr: a label image holds no measurements"):
        read_nuclei(paths["zarr"])


def test_a_csv_is_places_without_outlines(paths: dict[str, Path], sample: Path, tmp_path: Path) -> None:
    """All but outlines is there; what needs them says so, and pictures show circles of the same area."""
    expected, result = read_nuclei(paths["geojson"], slide=sample), read_nuclei(paths["csv"])
    assert [*result.ids] == [*expected.ids]
    places = [name for name in expected.table if name.startswith("centroid")]
    assert [*result.table] == [*expected.table]
    np.testing.assert_allclose(result.table[places], expected.table[places], atol=0.0101)
    pd.testing.assert_frame_equal(result.table.drop(columns=places), expected.table.drop(columns=places))
    assert result.frame.mpp == expected.frame.mpp == read_nuclei(paths["csv"], slide=sample).frame.mpp
    assert set(shapely.get_type_id(result.polygons)) == {shapely.GeometryType.POINT}
    circles = shown_outlines(result)
    areas = shapely.area(circles) * 0.25**2
    np.testing.assert_allclose(areas, expected.table.area_um2, rtol=0.03)
    (nuclei,) = result[:7].plot(picture=False).collections
    assert len(nuclei.get_paths()) == 7
    for needs_outlines in (
        lambda: result.labels,
        lambda: result.features,
        lambda: result.to_geojson(tmp_path / "n.geojson"),
    ):
        with pytest.raises(UsageError, match=r"a \.csv, which holds no outlines\. Read the \.geojson"):
            needs_outlines()
    assert not [*tmp_path.iterdir()]
    with pytest.raises(UsageError, match="contradicts"):
        read_nuclei(paths["csv"], mpp=0.5)


HEAD = ",".join(COLUMN_NAMES)


@pytest.mark.parametrize(
    "text", [None, "", "id,x\n1,2\n", f"{HEAD}\na{',x' * 14}\n", f"{HEAD}\na{',nan' * 14}\n"]
)
def test_a_csv_of_others_is_named(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "n.csv").write_text(text)
    with pytest.raises(InputError, match=r"n\.csv"):
        read_nuclei(tmp_path / "n.csv")


def test_a_csv_without_nuclei_has_none(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text(HEAD + "\n")
    assert len(read_nuclei(tmp_path / "n.csv")) == 0
