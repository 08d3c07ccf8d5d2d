"""A segmented slide's GeoJSON in the programs that people read it with: nothing is lost, nothing is invalid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geojson
import numpy as np
import pytest
import shapely

from tests.segment import fakes
from tests.segment.features import Feature, read_features
from wsi_nucssl.errors import OutputExists
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.run import segment_slide
from wsi_nucssl.segment.summary import SegmentSummary


@pytest.fixture(scope="module")
def written(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("written") / "n.geojson"
    return segment_slide(sample, output, fakes.model(), SegmentOptions(), engine=fakes.DarkIsNucleus()).output


def test_what_is_written_is_neither_resumed_nor_replaced_unasked(sample: Path, written: Path) -> None:
    before = written.stat().st_mtime_ns
    with pytest.raises(OutputExists, match=written.name):
        segment_slide(sample, written, fakes.model(), SegmentOptions(), engine=fakes.DarkIsNucleus())
    assert written.stat().st_mtime_ns == before


@pytest.fixture(scope="module")
def features(written: Path) -> list[Feature]:
    return read_features(written)


def areas_um2(features: list[Feature]) -> list[float]:
    return [feature["properties"]["measurements"]["Area µm^2"] for feature in features]


def test_geojson_and_shapely(written: Path, features: list[Feature]) -> None:
    collection = geojson.loads(written.read_text())
    assert collection.is_valid
    assert len(collection["features"]) == len(features) > 1000
    polygons = shapely.from_geojson(written.read_text())
    parts = np.array(polygons.geoms)
    assert shapely.is_valid(parts).all()
    assert set(shapely.get_type_id(parts)) == {shapely.GeometryType.POLYGON}
    assert sorted(shapely.area(parts) / 16) == pytest.approx(sorted(areas_um2(features)))


def test_compressed_is_the_same(
    segment: Callable[..., SegmentSummary], sample: Path, features: list[Feature], tmp_path: Path
) -> None:
    assert read_features(segment(sample, tmp_path / "n.geojson.gz").output) == features


@pytest.mark.interop
def test_gdal(written: Path, features: list[Feature]) -> None:
    pyogrio = pytest.importorskip("pyogrio", reason="needs pyogrio")
    meta, _, geometry, columns = pyogrio.raw.read(written)
    read = dict(zip(meta["fields"], columns, strict=True))
    assert meta["geometry_type"] == "Polygon"
    assert sorted(read["id"]) == [feature["id"] for feature in features]
    assert set(read["objectType"]) == {"detection"}
    polygons = shapely.from_wkb(geometry)
    assert shapely.is_valid(polygons).all()
    area_of = {
        name: json.loads(measured)["Area µm^2"]
        for name, measured in zip(read["id"], read["measurements"], strict=True)
    }
    assert [area_of[feature["id"]] for feature in features] == areas_um2(features)
    assert shapely.area(polygons) / 16 == pytest.approx([area_of[name] for name in read["id"]])


@pytest.mark.interop
def test_tiatoolbox(written: Path, features: list[Feature]) -> None:
    storage: Any = pytest.importorskip("tiatoolbox.annotation.storage", reason="needs tiatoolbox")
    store = storage.DictionaryStore.from_geojson(written)
    assert len(store) == len(features)
    read = list(store.values())
    assert sorted(each.geometry.area / 16 for each in read) == pytest.approx(sorted(areas_um2(features)))
    assert all(each.geometry.is_valid for each in read)
    assert {each.properties["objectType"] for each in read} == {"detection"}
