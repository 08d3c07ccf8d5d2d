"""The GeoJSON that is written, as other programs read it."""

from __future__ import annotations

import gzip
import json
import math
import uuid
from pathlib import Path
from typing import Any

import geojson
import numpy as np
import pytest
import shapely
import shapely.geometry
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.nuclei.scenes import configs, scenes
from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.base import ExportContext
from wsi_nucssl.export.columns import COLUMNS, DECIMALS, TRUNCATED
from wsi_nucssl.export.features import FeatureFormatter
from wsi_nucssl.export.geojson import write_geojson
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.nuclei.seams import extract_nuclei
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.table import Nuclei

LEVEL0 = CanvasTransform(1, 1)
QUARTER = Mpp.square(0.25)
NAMES = tuple(column.qupath for column in COLUMNS)
HEADER = {"version": "1.2.3", "origin": "qupath"}


def write(
    path: Path, *blocks: Nuclei, transform: CanvasTransform = LEVEL0, mpp: Mpp = QUARTER
) -> dict[str, Any]:
    write_geojson(path, blocks, transform, mpp=mpp, identity="slide", header=HEADER)
    raw = path.read_bytes()
    document: dict[str, Any] = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    return document


def features(nuclei: Nuclei, transform: CanvasTransform = LEVEL0) -> list[dict[str, Any]]:
    formatter = FeatureFormatter(ExportContext(transform, QUARTER, "slide", HEADER))
    found: list[dict[str, Any]] = json.loads(b"[" + bytes(formatter.format(nuclei)) + b"]")
    return found


@pytest.fixture
def nuclei() -> Nuclei:
    """A ring with a nucleus inside, and a flagged one."""
    body = np.zeros((30, 40), np.uint8)
    body[2:20, 3:21] = 255
    body[5:17, 6:18] = 0
    body[10, 10:12] = 255
    body[24:28, 30:38] = 255
    scene = np.stack([body, np.zeros_like(body), np.full_like(body, 50)])
    table = extract_nuclei(scene, InstanceConfig(regrow_px=0, min_marker_px=0, min_area_px=0))
    return Nuclei(
        table.seed_xy,
        table.ring_xy,
        table.ring_offsets,
        table.polygon_offsets,
        table.measurements,
        np.array([False, False, True]),
    )


def test_contract_of_a_feature(tmp_path: Path, nuclei: Nuclei) -> None:
    document = write(tmp_path / "n.geojson", nuclei)
    assert document["type"] == "FeatureCollection"
    assert document["wsi_nucssl"] == HEADER
    assert len(document["features"]) == 3
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "slide")
    for feature, (x, y) in zip(document["features"], nuclei.seed_xy, strict=True):
        assert feature["type"] == "Feature"
        assert feature["id"] == str(uuid.uuid5(namespace, f"{x},{y}"))
        assert set(feature) == {"type", "id", "geometry", "properties"}
        properties = feature["properties"]
        assert set(properties) == {"objectType", "classification", "measurements"}
        assert properties["objectType"] == "detection"
        assert properties["classification"] == {"name": "Nucleus", "color": [200, 0, 0]}
        assert tuple(properties["measurements"])[: len(NAMES)] == NAMES
        assert all(math.isfinite(value) for value in properties["measurements"].values())
    assert [TRUNCATED.qupath in f["properties"]["measurements"] for f in document["features"]] == [
        False,
        False,
        True,
    ]


def test_rings_keep_their_holes_and_close(tmp_path: Path, nuclei: Nuclei) -> None:
    ring, inside, _ = write(tmp_path / "n.geojson", nuclei)["features"]
    assert ring["geometry"]["coordinates"][0] == [[3, 2], [21, 2], [21, 20], [3, 20], [3, 2]]
    assert shapely.geometry.shape(ring["geometry"]).area == 18 * 18 - 12 * 12
    assert shapely.geometry.shape(inside["geometry"]).bounds == (10, 10, 12, 11)


def test_measurements_are_in_micrometres(nuclei: Nuclei) -> None:
    measured = features(nuclei)[2]["properties"]["measurements"]
    assert measured["Area µm^2"] == 32 / 16
    assert measured["Major axis µm"] == pytest.approx(4 * math.sqrt(64 / 12) / 4, abs=1e-4)
    assert measured["Hematoxylin OD mean"] == 0.5


def test_transform_scales_and_subtracts_the_origin(nuclei: Nuclei) -> None:
    moved = features(nuclei, CanvasTransform(2.004, 0.5, 10, 2.25))[0]["geometry"]["coordinates"][0]
    assert moved[:3] == [[-3.99, -1.25], [32.08, -1.25], [32.08, 7.75]]


@settings(max_examples=40, deadline=None)
@given(scenes(), configs, st.floats(0.02, 50), st.floats(0.02, 50), st.floats(0, 9e4))
def test_read_by_geojson_and_shapely_without_loss(
    scene: NDArray[np.uint8], config: InstanceConfig, scale_x: float, scale_y: float, origin: float
) -> None:
    table = extract_nuclei(scene, config)
    transform = CanvasTransform(scale_x, scale_y, origin, origin / 3)
    for index, feature in enumerate(features(table, transform)):
        assert geojson.loads(json.dumps(feature)).is_valid
        assert shapely.geometry.shape(feature["geometry"]).is_valid
        for written, ring in zip(feature["geometry"]["coordinates"], table.rings(index), strict=True):
            exact = ring * [scale_x, scale_y] - [origin, origin / 3]
            np.testing.assert_allclose(written, exact, atol=0.005 + 1e-6)
            assert written[0] == written[-1]
        values = list(feature["properties"]["measurements"].values())
        expected = table.measurements[index] * [1 / 16, 1 / 4, 1, 1 / 4, 1 / 4, 1, 1, 1, 1]
        np.testing.assert_allclose(values, expected, atol=0.5001 * 10**-DECIMALS)


def test_an_empty_slide_is_a_valid_empty_collection(tmp_path: Path) -> None:
    document = write(tmp_path / "empty.geojson", Nuclei.empty(), Nuclei.empty())
    assert document["features"] == []
    assert geojson.loads((tmp_path / "empty.geojson").read_text()).is_valid


def test_compressed_is_the_same_document_and_knows_no_time(tmp_path: Path, nuclei: Nuclei) -> None:
    plain = write(tmp_path / "a.geojson", nuclei, Nuclei.empty(), nuclei)
    assert write(tmp_path / "a.geojson.gz", nuclei, nuclei) == plain
    write(tmp_path / "b.geojson.gz", nuclei, nuclei)
    assert (tmp_path / "a.geojson.gz").read_bytes() == (tmp_path / "b.geojson.gz").read_bytes()


def test_blocks_are_taken_one_at_a_time(tmp_path: Path, nuclei: Nuclei) -> None:
    many = Nuclei.concatenate([nuclei] * 1500)
    document = write(tmp_path / "many.geojson", many, nuclei)
    assert len(document["features"]) == len(many) + 3
    assert document["features"][-3:] == document["features"][:3]


def test_a_failure_leaves_nothing_behind(tmp_path: Path, nuclei: Nuclei) -> None:
    def broken() -> Any:
        yield nuclei
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_geojson(tmp_path / "n.geojson", broken(), LEVEL0, mpp=QUARTER, identity="slide", header=HEADER)
    assert not list(tmp_path.iterdir())


def test_other_endings_and_hopeless_scales_are_refused(tmp_path: Path, nuclei: Nuclei) -> None:
    with pytest.raises(UsageError, match=r"\.geojson"):
        write(tmp_path / "n.json", nuclei)
    with pytest.raises(UsageError):
        CanvasTransform(0.001, 1)
