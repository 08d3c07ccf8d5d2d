"""A result's table, polygons, labels and files are one and the same thing, and come back from a file."""

from __future__ import annotations

import gzip
import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import geojson
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_nucssl.errors import InputError, OutputExists, UsageError
from wsi_nucssl.geometry import Box, Mpp
from wsi_nucssl.result import Result, read_nuclei
from wsi_nucssl.result.outlines import paint
from wsi_nucssl.result.picture import SlidePicture
from wsi_nucssl.slide import open_slide

COLUMNS = [
    "id",
    "centroid_x_px",
    "centroid_y_px",
    "centroid_x_um",
    "centroid_y_um",
    "area_um2",
    "perimeter_um",
]
COLUMNS += ["circularity", "major_axis_um", "minor_axis_um", "eccentricity", "solidity", "probability"]
COLUMNS += ["hematoxylin_od", "truncated"]


def _same(one: Result, other: Result) -> None:
    pd.testing.assert_frame_equal(one.table, other.table)
    assert shapely.equals_exact(one.polygons, other.polygons).all()
    assert np.array_equal(one.labels, other.labels)
    assert [*one.ids] == [*other.ids]


def test_the_table_has_units_in_its_names_and_they_are_right(result: Result) -> None:
    table = result.table
    assert [*table.columns] == COLUMNS
    assert len(table) == len(result) > 100
    assert np.allclose(table.area_um2, shapely.area(result.polygons) * 0.25**2, atol=1e-3)
    assert np.allclose(table.centroid_x_um, table.centroid_x_px * 0.25, atol=1e-3)
    centres = shapely.centroid(result.polygons)
    assert np.allclose(table.centroid_y_px, shapely.get_y(centres), atol=0.01)
    mine = result[:]
    mine.table["order"] = range(len(mine))
    assert mine[5:9].table["order"].tolist() == [5, 6, 7, 8]
    assert "order" not in result.table


def test_row_i_is_polygon_i_and_label_i_plus_1(result: Result) -> None:
    labels = result.labels
    assert labels.dtype == np.int32
    assert labels.shape == (600, 700)
    px = np.bincount(labels.ravel(), minlength=len(result) + 1)[1:]
    inside = shapely.within(result.polygons, shapely.box(600, 500, 1300, 1100))
    assert inside.sum() > 100
    assert np.array_equal(px[inside], np.rint(shapely.area(result.polygons))[inside])
    rows, cols = np.nonzero(labels)
    some = slice(None, None, 97)
    points = shapely.points(cols[some] + 600.5, rows[some] + 500.5)
    assert shapely.contains(result.polygons[labels[rows, cols][some] - 1], points).all()


def test_a_nucleus_in_anothers_hole_has_its_own_label(holed: Result) -> None:
    assert len(holed) == 2
    assert sorted(len(polygon.interiors) for polygon in holed.polygons) == [0, 1]
    labels = holed.labels
    assert labels.shape == (400, 400)
    assert labels[200, 200] != labels[200, 300] != 0
    assert labels[200, 255] == 0


coordinates = st.floats(0, 30, width=16)  # px: shapely divides by zero where two differ by 1e-200


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=7),
    st.sampled_from([0.5, 1.0, 2.3]),
)
def test_painting_is_which_px_centres_lie_inside(corners: list[tuple[float, float]], scale: float) -> None:
    """Against shapely, px by px, but for centres that lie on an outline."""
    outline = shapely.convex_hull(shapely.multipoints(corners))
    if outline.geom_type != "Polygon":
        return
    box = Box(2, 1, 14, 12)
    painted = paint(np.array([outline], dtype=object), np.array([scale, scale]), box)
    cols, rows = np.meshgrid(np.arange(box.x0, box.x1), np.arange(box.y0, box.y1))
    centres = shapely.points((cols + 0.5) * scale, (rows + 0.5) * scale)
    clear = shapely.distance(centres, outline.exterior) > 1e-6
    assert np.array_equal((painted == 1)[clear], shapely.contains(outline, centres)[clear])


def test_a_file_is_replaced_only_where_that_is_said(result: Result, tmp_path: Path) -> None:
    (path := tmp_path / "nuclei.geojson").write_text("somebody's")
    with pytest.raises(OutputExists, match="`overwrite`"):
        result.to_geojson(path)
    assert path.read_text() == "somebody's"
    _same(result, read_nuclei(result.to_geojson(path, overwrite=True)))


def test_a_result_is_not_written_over_its_slide(result: Result, tmp_path: Path) -> None:
    (slide := tmp_path / "slide.geojson").write_text("pixels")
    of_it = replace(result, picture=SlidePicture(slide, "auto"))
    with pytest.raises(OutputExists, match="input"):
        of_it.to_geojson(tmp_path / "." / ".." / tmp_path.name / "slide.geojson", overwrite=True)
    assert slide.read_text() == "pixels"


@pytest.mark.parametrize("name", ["nuclei.geojson", "nuclei.geojson.gz"])
def test_a_file_gives_the_same_result_back(result: Result, tmp_path: Path, name: str) -> None:
    path = result.to_geojson(str(tmp_path / name))
    again = read_nuclei(str(path))
    _same(result, again)
    assert again.frame == result.frame
    assert again.header == result.header
    copy = again.to_geojson(tmp_path / f"again-{name}")
    contents = [
        gzip.decompress(each.read_bytes()) if name.endswith("gz") else each.read_bytes()
        for each in (path, copy)
    ]
    assert contents[0] == contents[1]


def test_holes_come_back_too(holed: Result, tmp_path: Path) -> None:
    _same(holed, read_nuclei(holed.to_geojson(tmp_path / "holed.geojson")))


def test_some_of_the_nuclei_are_a_result_too(result: Result, tmp_path: Path) -> None:
    large = result[result.table.area_um2 > 30]
    assert 0 < len(large) < len(result)
    assert (large.table.area_um2 > 30).all()
    _same(large, read_nuclei(large.to_geojson(tmp_path / "large.geojson")))
    assert [*result[5:8].ids] == [*result.ids[5:8]]
    assert [*result[[3, 1]].ids] == [result.ids[3], result.ids[1]]
    assert [*read_nuclei(result[[3, 1]].to_geojson(tmp_path / "two.geojson"))[-1].ids] == [result.ids[1]]
    assert len(result[3]) == 1
    none = result[:0]
    assert len(none) == none.labels.max() == 0
    _same(none, read_nuclei(none.to_geojson(tmp_path / "none.geojson")))


def test_results_pickle_with_what_lies_under_them(result: Result, holed: Result) -> None:
    for one in (result, holed):
        again = pickle.loads(pickle.dumps(one))
        _same(one, again)
        region = one.frame.region
        assert np.array_equal(again.picture.read(region, 64), one.picture.read(region, 64))  # type: ignore[union-attr]


def test_features_are_geojson_objects(result: Result) -> None:
    features = result.features
    assert isinstance(features, geojson.FeatureCollection)
    assert features.is_valid
    assert [each["id"] for each in features["features"]] == [*result.ids]


def test_a_run_of_a_whole_slide_is_read_with_its_labels(sample: Path, tmp_path: Path) -> None:
    from tests.segment import fakes
    from wsi_nucssl.segment.options import SegmentOptions
    from wsi_nucssl.segment.region import segment
    from wsi_nucssl.segment.run import segment_slide

    model, engine, path = fakes.model(), fakes.DarkIsNucleus(), tmp_path / "run.geojson"
    segment_slide(sample, path, model, SegmentOptions(), engine=engine)
    whole, read = segment(sample, model=model, engine=engine), read_nuclei(path, slide=sample)
    _same(whole, read)
    assert read_nuclei(path).frame.mpp == Mpp(0.25, 0.25)
    with pytest.raises(UsageError, match="`mpp`"):
        read_nuclei(path, mpp=0.5)


QUPATH: dict[str, Any] = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "id": "a",
            "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 8], [0, 8], [0, 0]]]},
            "properties": {"objectType": "annotation", "measurements": {"Nucleus: Area": 5.5, "OD": 1}},
        },
        {
            "type": "Feature",
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [[[[0, 20], [4, 20], [4, 24], [0, 24], [0, 20]]]],
            },
            "properties": {"measurements": [{"name": "OD", "value": 2}]},
        },
    ],
}


def test_other_programs_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "qupath.geojson"
    path.write_text(json.dumps(QUPATH))
    plain, scaled = read_nuclei(path), read_nuclei(path, mpp=0.5)
    assert not [name for name in plain.table.columns if "_um" in name]
    assert plain.table.area_px2.tolist() == [80, 16]
    assert plain.table.perimeter_px.tolist() == [36, 16]
    assert plain.table["OD"].tolist() == [1, 2]
    assert plain.table["Nucleus: Area"].isna().tolist() == [False, True]
    assert plain.ids[0] == "a"
    assert len(plain.ids[1]) == 36
    assert plain.labels.shape == (24, 10)
    assert np.bincount(plain.labels.ravel()).tolist() == [240 - 96, 80, 16]
    assert scaled.table.area_um2.tolist() == [20, 4]
    assert scaled.table.centroid_x_um.tolist() == [2.5, 1]
    copy = plain.to_geojson(tmp_path / "copy.geojson")
    assert json.loads(copy.read_text()) == QUPATH


def test_other_programs_files_count_from_the_slides_bounds(sample: Path, tmp_path: Path) -> None:
    from tests.segment import fakes

    path = tmp_path / "qupath.geojson"
    path.write_text(json.dumps(QUPATH))
    with open_slide(sample) as slide:
        bounded: Any = fakes.WithBounds(slide, Box(100, 200, 900, 800))
        read = read_nuclei(path, slide=bounded)
    assert read.polygons[0].bounds == (100, 200, 110, 208)
    assert read.table.area_um2[0] == 80 * 0.25**2
    assert read_nuclei(path, slide=str(sample)).frame.mpp == Mpp(0.25, 0.25)


@pytest.mark.parametrize(
    "change",
    [
        {"geometry": {"type": "Point", "coordinates": [1, 2]}},
        {"geometry": None},
        {"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1]]]}},
        {"properties": {"measurements": {"OD": "dark"}}},
        {"properties": {"measurements": [1]}},
    ],
)
def test_a_file_that_is_something_else_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "other.geojson"
    path.write_text(
        json.dumps({"type": "FeatureCollection", "features": [{**QUPATH["features"][0], **change}]})
    )
    with pytest.raises(InputError, match=r"other\.geojson"):
        read_nuclei(path)


def test_a_result_says_what_it_is(result: Result) -> None:
    assert repr(result).startswith(
        f"<Result sample.svs: {len(result)} nuclei, x=600, y=500, 700 × 600 level-0 px"
    )
    text = result._repr_html_()
    assert "data:image/png;base64," in text
    assert "area_um2" in text
    assert "median area" in text


def test_geopandas_and_anndata_have_the_same_nuclei(result: Result) -> None:
    geopandas = pytest.importorskip("geopandas")
    frame = result.to_geopandas()
    assert isinstance(frame, geopandas.GeoDataFrame)
    assert (frame.geometry.to_numpy() == result.polygons).all()
    anndata = pytest.importorskip("anndata")
    data = result.to_anndata()
    assert isinstance(data, anndata.AnnData)
    assert data.shape == (len(result), 9)
    assert [*data.obs_names] == [*result.ids]
    assert np.allclose(data[:, "area_um2"].X.ravel(), result.table.area_um2)
    assert data.uns["spatial_unit"] == "px"
    assert np.array_equal(data.obsm["spatial"], result.table[["centroid_x_px", "centroid_y_px"]])
    assert np.array_equal(data.obsm["spatial_um"], result.table[["centroid_x_um", "centroid_y_um"]])


@pytest.mark.parametrize("package", ["geopandas", "anndata"])
def test_a_package_that_is_missing_is_named(
    result: Result, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"pip install 'wsi-nucssl\\[{package}\\]'"):
        getattr(result, f"to_{package}")()
