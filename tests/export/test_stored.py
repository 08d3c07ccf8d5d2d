"""Files of ours read back as tables: nothing is lost on the way to another format, and what is wrong is named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
import shapely
import zarr
from pyarrow import parquet

from tests.export.test_exporters import TYPES, with_types
from wsi_nucssl.errors import InputError
from wsi_nucssl.export.base import ExportContext, export
from wsi_nucssl.export.registry import EXPORTERS
from wsi_nucssl.export.stored import ENDINGS, read_stored
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.testing.exporters import CONTEXT, make_nuclei

HEADER = {"slide": "slide", "slide_mpp": [0.125, 0.5], "model_mpp": 0.25, "origin_l0": [10, 4]}
STORED = replace(CONTEXT, mpp=Mpp.square(0.25), header={**HEADER, "scale_l0": [2.0, 0.5]})
TYPED = replace(
    STORED, header={**STORED.header, "types": [{"name": t.name, "color": t.color} for t in TYPES]}
)


STORED_EXACTLY = [each for each in ENDINGS if each != ".ann.dcm"]
"""DICOM's come below, since it needs a slide."""


def write(path: Path, tables: list[Nuclei], context: ExportContext = STORED) -> Path:
    export({path: EXPORTERS.get(path.name.removeprefix("n."))}, tables, context)
    return path


@pytest.mark.parametrize("typed", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("ending", STORED_EXACTLY)
def test_what_is_read_is_written_to_the_same_bytes(tmp_path: Path, ending: str, *, typed: bool) -> None:
    context, nuclei = STORED, make_nuclei()
    if typed:
        context, nuclei = replace(TYPED, types=TYPES), with_types(nuclei)
    # A table is more than GeoJSON writes at a time, and both are more than Parquet reads.
    tables = [nuclei.take(np.arange(2100) % 3)] * 2
    source = write(tmp_path / f"n{ending}", tables, context)
    (tmp_path / "again").mkdir()
    for other in (each.removeprefix(".") for each in STORED_EXACTLY):
        direct = write(tmp_path / f"n.{other}", tables, context)
        stored, rows = read_stored(source)
        again = tmp_path / "again" / f"n.{other}"
        assert export({again: EXPORTERS.get(other)}, rows, stored) == 4200
        assert _without_centroids(again) == _without_centroids(direct)


def _without_centroids(path: Path) -> Any:
    """The content; centroids of outlines that were rounded to 0.01 px differ by as much."""
    if path.suffix in (".h5ad", ".zarr"):
        return _matrix(path)
    if path.suffix != ".parquet":
        return path.read_bytes()
    table = parquet.read_table(path)
    return table.drop_columns([name for name in table.column_names if name.startswith("centroid")])


def _matrix(path: Path) -> Any:
    """AnnData's arrays by path, but for the centroids."""
    found = {}

    def keep(name: str, each: Any) -> None:
        if hasattr(each, "shape") and not name.startswith("obsm"):
            found[name] = np.asarray(each[()]).tolist()

    if path.suffix == ".h5ad":
        with h5py.File(path) as file:
            file.visititems(keep)
        return found
    table = zarr.open_group(path / "tables/table", mode="r")
    for name, each in table.members(max_depth=None):
        keep(name, each)
    return found | {"shapes": (path / "shapes/nuclei/shapes.parquet").read_bytes()}


@pytest.mark.parametrize("ending", STORED_EXACTLY)
def test_centroids_differ_by_no_more_than_coordinates(tmp_path: Path, ending: str) -> None:
    direct = write(tmp_path / "n.csv", [make_nuclei()]).read_text().splitlines()[1:]
    stored, rows = read_stored(write(tmp_path / f"n{ending}", [make_nuclei()]))
    export({tmp_path / "again.csv": EXPORTERS.get("csv")}, rows, stored)
    again = (tmp_path / "again.csv").read_text().splitlines()[1:]
    for one, other in zip(direct, again, strict=True):
        a, b = one.split(","), other.split(",")
        assert a[:1] + a[5:] == b[:1] + b[5:]
        np.testing.assert_allclose(np.array(a[1:5], float), np.array(b[1:5], float), atol=0.0101)


def test_a_file_that_is_laid_out_otherwise_is_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "n.geojson", [make_nuclei()])
    expected = [table.ring_xy.tolist() for table in read_stored(path)[1]]
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    assert [table.ring_xy.tolist() for table in read_stored(path)[1]] == expected


@pytest.mark.parametrize("ending", STORED_EXACTLY)
def test_a_file_without_nuclei_has_none(tmp_path: Path, ending: str) -> None:
    context, tables = read_stored(write(tmp_path / f"n{ending}", []))
    assert not sum(len(table) for table in tables)
    assert context.header["slide"] == "slide"


def _feature(change: Callable[[Any], Any]) -> Callable[[Path], object]:
    def edit(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content["features"][1])
        path.write_text(json.dumps(content))

    return edit


def _header(path: Path) -> None:
    content = json.loads(path.read_text())
    del content["wsi_nucssl"]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "damage",
    [
        _header,
        _feature(lambda feature: feature.update(id="none of ours")),
        _feature(lambda feature: feature["geometry"].update(type="Point")),
        _feature(lambda feature: feature["geometry"]["coordinates"][0].pop()),
        _feature(lambda feature: feature["geometry"].update(coordinates=[[[1, 1], [1, 1]]])),
        _feature(lambda feature: feature["geometry"].update(coordinates=[[[1e300, 1]] * 4])),
        _feature(lambda feature: feature["geometry"].update(coordinates=[])),
        _feature(lambda feature: feature["properties"]["measurements"].pop("Area µm^2")),
        _feature(lambda feature: feature["properties"].pop("classification")),
        lambda path: path.write_bytes(path.read_bytes()[:-4]),
        lambda path: path.write_bytes(b"\x1f\x8b" + path.read_bytes()),
        lambda path: path.write_bytes(gzip.compress(path.read_bytes())[:-20]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PAR1"),
        lambda path: path.unlink(),
    ],
)
def test_geojson_that_is_not_ours_is_named(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    path = write(tmp_path / "n.geojson", [make_nuclei()])
    damage(path)
    with pytest.raises(InputError, match=r"n\.geojson"):
        [*read_stored(path)[1]]


def _column(name: str, values: Any) -> Callable[[Path], object]:
    def edit(path: Path) -> None:
        table = parquet.read_table(path)
        place = table.column_names.index(name)
        changed = table.remove_column(place) if values is None else table.set_column(place, name, values)
        parquet.write_table(changed, path)

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        _column("id", None),
        _column("area_um2", None),
        _column("area_um2", pa.array([1.0, np.nan, 2.0])),
        _column("area_um2", pa.array(["one", "two", "three"])),
        _column("geometry", pa.array([b"", b"x", b"y"])),
        _column("geometry", pa.array(shapely.to_wkb(shapely.points([[0, 0]] * 3)))),
        _column("geometry", pa.array(shapely.to_wkb([shapely.Polygon()] * 3))),
        _column("geometry", pa.array([None] * 3, pa.binary())),
        lambda path: parquet.write_table(parquet.read_table(path).replace_schema_metadata(None), path),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(path.read_bytes()[:50] + b"\0" * 900 + path.read_bytes()[950:]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
)
def test_parquet_that_is_not_ours_is_named(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    path = write(tmp_path / "n.parquet", [make_nuclei()])
    damage(path)
    with pytest.raises(InputError, match=r"n\.parquet"):
        [*read_stored(path)[1]]


def test_formats_without_outlines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.geojson, \.geojson\.gz, \.parquet"):
        read_stored(write(tmp_path / "n.csv", [make_nuclei()]))
