"""GeoParquet as its readers see it: geopandas, pyarrow, and whoever asks for a region only."""

from __future__ import annotations

import builtins
import importlib
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from numpy.typing import NDArray
from pyarrow import parquet

from tests.export.test_exporters import TYPES, with_types
from tests.nuclei.scenes import configs, scenes
from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.base import export
from wsi_nucssl.export.csv import COLUMN_NAMES
from wsi_nucssl.export.geoparquet import PARQUET, ROWS
from wsi_nucssl.export.registry import EXPORTERS
from wsi_nucssl.export.wkb import polygons_to_wkb
from wsi_nucssl.nuclei.seams import extract_nuclei
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.testing.exporters import CONTEXT, make_nuclei


@settings(max_examples=50, deadline=None)
@given(scenes(), configs)
def test_wkb_is_that_of_shapely(scene: NDArray[np.uint8], config: InstanceConfig) -> None:
    nuclei = extract_nuclei(scene, config)
    wkb, offsets = polygons_to_wkb(
        nuclei.ring_xy.astype(np.float64), nuclei.ring_offsets, nuclei.polygon_offsets
    )
    assert len(offsets) == len(nuclei) + 1
    for index in range(len(nuclei)):
        exterior, *holes = nuclei.rings(index)
        expected = shapely.to_wkb(shapely.Polygon(exterior, holes), byte_order=1)
        assert wkb[offsets[index] : offsets[index + 1]].tobytes() == expected


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same three nuclei in every format."""
    folder = tmp_path_factory.mktemp("nuclei")
    paths = {name: folder / f"n.{name}" for name in ("geojson", "csv", "parquet")}
    export({path: EXPORTERS.get(name) for name, path in paths.items()}, [make_nuclei()], CONTEXT)
    return paths


def test_geopandas_sees_the_outlines_of_the_geojson(written: Mapping[str, Path]) -> None:
    frame = geopandas.read_parquet(written["parquet"])
    features = json.loads(written["geojson"].read_text())["features"]
    assert frame.crs is None
    assert frame.geometry.is_valid.all()
    assert frame.id.tolist() == [feature["id"] for feature in features]
    expected = [shapely.geometry.shape(feature["geometry"]) for feature in features]
    assert all(a.equals_exact(b, 0) for a, b in zip(frame.geometry, expected, strict=True))
    assert all(shapely.is_ccw(shapely.get_exterior_ring(outline)) for outline in frame.geometry)


def test_its_columns_are_those_of_the_csv(written: Mapping[str, Path]) -> None:
    frame = geopandas.read_parquet(written["parquet"])
    table = pd.read_csv(written["csv"])
    assert tuple(frame.columns) == (*COLUMN_NAMES, "geometry")  # it keeps the boxes to itself
    for name in COLUMN_NAMES:
        assert frame[name].tolist() == table[name].tolist(), name


def test_types_are_columns(tmp_path: Path) -> None:
    export({tmp_path / "n.parquet": PARQUET}, [with_types(make_nuclei())], replace(CONTEXT, types=TYPES))
    frame = pd.read_parquet(tmp_path / "n.parquet")
    assert frame.type.tolist() == ["long", 'round, "small"', 'round, "small"']
    assert frame.type_probability.tolist() == [0.75, 0.5, 1]


def test_metadata_say_that_the_plane_is_no_earth(written: Mapping[str, Path]) -> None:
    metadata = parquet.read_schema(written["parquet"]).metadata
    geo = json.loads(metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    assert geo["version"] == "1.1.0"
    assert (column["crs"], column["encoding"], column["edges"]) == (None, "WKB", "planar")
    assert json.loads(metadata[b"wsi_nucssl"]) == CONTEXT.header


def many(blocks: int) -> list[Nuclei]:
    """Blocks of nuclei side by side, 3 · 200 in each."""
    one = Nuclei.concatenate([make_nuclei()] * 200)
    return [
        replace(
            one, seed_xy=one.seed_xy + 60 * place, ring_xy=one.ring_xy + np.array([60 * place, 0], np.int32)
        )
        for place in range(blocks)
    ]


def test_who_asks_for_a_region_gets_it_and_reads_little(tmp_path: Path) -> None:
    path = tmp_path / "n.parquet"
    tables = many(60)
    export({path: PARQUET}, tables, CONTEXT)
    left = CONTEXT.transform.level0(np.array([[60.0 * 50, 0.0]]))[0, 0]
    some = geopandas.read_parquet(path, bbox=(left, -10, left + 100, 100))
    everything = geopandas.read_parquet(path)
    assert len(everything) == 60 * 600
    assert 0 < len(some) == everything.intersects(shapely.box(left, -10, left + 100, 100)).sum()
    groups = parquet.ParquetFile(path).metadata
    assert [groups.row_group(index).num_rows for index in range(groups.num_row_groups)] == [
        ROWS,
        ROWS,
        60 * 600 - 2 * ROWS,
    ]
    assert [_most_x(groups.row_group(index)) > left for index in range(3)] == [False, True, True]


def _most_x(group: Any) -> float:
    columns = {
        group.column(index).path_in_schema: group.column(index).statistics
        for index in range(group.num_columns)
    }
    most: float = columns["bbox.xmax"].max
    return most


def test_groups_do_not_depend_on_blocks(tmp_path: Path) -> None:
    tables = many(30)
    for name, cut in (("blocks", tables), ("whole", [Nuclei.concatenate(tables)])):
        export({tmp_path / f"{name}.parquet": PARQUET}, cut, CONTEXT)
    assert (tmp_path / "blocks.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_without_pyarrow_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, before a slide is opened."""
    real = builtins.__import__

    def lacking(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "wsi_nucssl.export.geoparquet")
    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(UsageError, match=r"pip install 'wsi-nucssl\[parquet\]'"):
        EXPORTERS.get("parquet")
    monkeypatch.undo()
    assert importlib.import_module("wsi_nucssl.export.geoparquet").PARQUET
