"""AnnData and SpatialData: as their own libraries read them, they say what the GeoJSON and the CSV say."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import shapely
import zarr

from tests.export.test_exporters import TYPES, with_types
from tests.export.test_stored import STORED, TYPED
from wsi_nucssl.errors import InputError
from wsi_nucssl.export.annotated import ROWS
from wsi_nucssl.export.base import ExportContext, export
from wsi_nucssl.export.columns import COLUMNS
from wsi_nucssl.export.registry import EXPORTERS
from wsi_nucssl.export.stored import read_stored
from wsi_nucssl.files import sha256_tree
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.testing.exporters import make_nuclei

SPATIALDATA_PYTHON = "WSI_NUCSSL_SPATIALDATA_PYTHON"
"""A Python that has spatialdata, whose pins are not ours."""
NAMES = ("geojson", "csv", "h5ad", "spatialdata.zarr")


def write(folder: Path, nuclei: Nuclei, context: ExportContext) -> dict[str, Path]:
    paths = {name: folder / f"n.{name}" for name in NAMES}
    export({path: EXPORTERS.get(name) for name, path in paths.items()}, [nuclei], context)
    return paths


def features(path: Path) -> list[Any]:
    found: list[Any] = json.loads(path.read_text())["features"]
    return found


def many(count: int) -> Nuclei:
    """The three nuclei over and over, each with an id of its own."""
    nuclei = make_nuclei().take(np.arange(count) % 3)
    return replace(nuclei, seed_xy=np.arange(2 * count).reshape(-1, 2))


@pytest.mark.parametrize("typed", [False, True])
def test_anndata_says_what_the_csv_says(tmp_path: Path, *, typed: bool) -> None:
    context, nuclei = STORED, make_nuclei()
    if typed:
        context, nuclei = (
            replace(TYPED, types=TYPES),
            replace(with_types(nuclei), type_id=np.array([1, -1, 0], np.int16)),
        )
    paths = write(tmp_path, nuclei, context)
    data = anndata.read_h5ad(paths["h5ad"])
    with paths["csv"].open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [*data.obs_names] == [row["id"] for row in rows]
    assert data.obs_names.name == "id"
    assert [*data.var_names] == [column.name for column in COLUMNS]
    assert [*data.var["unit"]] == [column.unit for column in COLUMNS]
    assert data.X.tolist() == [[float(row[column.name]) for column in COLUMNS] for row in rows]
    for key, unit in (("spatial", "px"), ("spatial_um", "um")):
        places = [[float(row[f"centroid_{axis}_{unit}"]) for axis in "xy"] for row in rows]
        assert data.obsm[key].tolist() == places
    assert data.uns["spatial_unit"] == "px"
    assert data.obs["truncated"].tolist() == [row["truncated"] == "1" for row in rows]
    assert json.loads(data.uns["wsi_nucssl"]) == json.loads(json.dumps({**context.header}))
    if typed:
        assert [*data.obs["type"].cat.categories] == [each.name for each in TYPES]
        assert ["" if each != each else each for each in data.obs["type"]] == [row["type"] for row in rows]
        assert data.obs["type_probability"].tolist() == [float(row["type_probability"]) for row in rows]
    else:
        assert "type" not in data.obs


def test_outlines_of_anndata_are_those_of_the_geojson(tmp_path: Path) -> None:
    paths = write(tmp_path, make_nuclei(), STORED)
    outlines = anndata.read_h5ad(paths["h5ad"]).uns["outlines"]
    offsets = outlines["ring_offsets"], outlines["polygon_offsets"]
    shapes = shapely.from_ragged_array(shapely.GeometryType.POLYGON, outlines["xy"] / 100, offsets)
    expected = [shapely.geometry.shape(each["geometry"]) for each in features(paths["geojson"])]
    assert shapely.equals_exact(shapes, expected).all()


def test_anndata_can_be_read_from_disk_bit_by_bit(tmp_path: Path) -> None:
    nuclei = many(ROWS + 10)
    path = write(tmp_path, nuclei, STORED)["h5ad"]
    backed = anndata.read_h5ad(path, backed="r")
    part = backed[ROWS - 2 : ROWS + 2].to_memory()
    backed.file.close()
    assert part.X.tolist() == anndata.read_h5ad(path).X[ROWS - 2 : ROWS + 2].tolist()


def _rows(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        data = anndata.read_h5ad(path)
        change(data).copy().write_h5ad(path)

    return edit


def test_what_the_library_saved_again_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, make_nuclei(), STORED)["h5ad"]
    before = [table.ring_xy.tolist() for table in read_stored(path)[1]]

    def annotate(data: Any) -> Any:
        data.obs["cluster"] = ["a", "b", "a"]
        return data[:, ::-1]

    _rows(annotate)(path)
    tables = [*read_stored(path)[1]]
    assert [table.ring_xy.tolist() for table in tables] == before
    assert (tables[0].measurements[:, 0] > tables[0].measurements[:, 2]).all()  # areas still come first


def test_nuclei_that_are_cut_at_the_slides_edge_are_in_order(tmp_path: Path) -> None:
    """Where the last px that the network answers at reaches beyond the slide, outlines end and centroids do not."""
    nuclei = make_nuclei()
    right = float(nuclei.ring_xy[:, 0].max()) * 2
    edge = replace(STORED, transform=replace(STORED.transform, width=right - 1.9))
    paths = write(tmp_path, nuclei, edge)
    last = [feature["geometry"]["coordinates"][0] for feature in features(paths["geojson"])]
    assert max(x for ring in last for x, _ in ring) == pytest.approx(right - 1.9 - 10)
    stored, tables = read_stored(paths["h5ad"])
    export({tmp_path / "again.geojson": EXPORTERS.get("geojson")}, tables, stored)
    assert (tmp_path / "again.geojson").read_bytes() == paths["geojson"].read_bytes()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (_rows(lambda data: data[[0, 2]]), "outlines of 3 nuclei beside 2 rows"),
        (_rows(lambda data: data[[0, 2, 1]]), "sorted or moved"),
        (_rows(lambda data: data[:, :4]), "not a file of nuclei"),
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), "not a file of nuclei"),
        (lambda path: path.write_bytes(b""), "not a file of nuclei"),
        (lambda path: anndata.AnnData(np.ones((3, 2))).write_h5ad(path), "not a file of nuclei"),
        (lambda path: path.unlink(), "no such file"),
    ],
)
def test_anndata_that_is_not_ours_is_named(
    tmp_path: Path, damage: Callable[[Path], object], what: str
) -> None:
    path = write(tmp_path, make_nuclei(), STORED)["h5ad"]
    damage(path)
    with pytest.raises(InputError, match=rf"n\.h5ad: .*{what}"):
        [*read_stored(path)[1]]


@pytest.mark.parametrize("name", ["h5ad", "spatialdata.zarr"])
def test_cuts_of_a_run_do_not_show_at_chunks(tmp_path: Path, name: str) -> None:
    """More nuclei than a chunk holds, in tables that end before, at and after a chunk's end."""
    nuclei = many(2 * ROWS + 7)
    found = set()
    for number, size in enumerate((len(nuclei), 5000, ROWS, ROWS + 1)):
        path = tmp_path / f"{number}.{name}"
        export({path: EXPORTERS.get(name)}, nuclei.slices(size), STORED)
        found.add(sha256_tree(path))
        count = sum(len(table) for table in read_stored(path)[1])
        assert count == len(nuclei)
    assert len(found) == 1


def test_every_chunk_of_a_table_is_written(tmp_path: Path) -> None:
    """Those that hold zeros alone too, since one that is lost reads as zeros."""
    path = write(tmp_path, replace(make_nuclei(), truncated=np.zeros(3, np.bool_)), STORED)[
        "spatialdata.zarr"
    ]
    table = zarr.open_group(path / "tables/table", mode="r")
    arrays = {name: each for name, each in table.members(max_depth=None) if isinstance(each, zarr.Array)}
    assert {"X", "obs/truncated", "obs/nucleus", "obs/region/codes"} <= {*arrays}
    assert all(each.nchunks_initialized == each.nchunks for each in arrays.values())


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [("h5py", "h5ad", "anndata"), ("pyarrow", "spatialdata.zarr", "spatialdata")],
)
def test_a_missing_package_is_named(module: str, name: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from wsi_nucssl.errors import UsageError\n"
        "from wsi_nucssl.export.registry import EXPORTERS\n"
        f"try: EXPORTERS.get({name!r})\n"
        "except UsageError as error: print(error.remedy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"Install it: pip install 'wsi-nucssl[{extra}]'"


_READ_BY_SPATIALDATA = """
import json, sys, warnings
warnings.simplefilter("ignore")
import spatialdata
sdata = spatialdata.read_zarr(sys.argv[1])
shapes, table = sdata["nuclei"], sdata["table"]
joined = spatialdata.get_values("area_um2", sdata=sdata, element_name="nuclei", table_name="table")
um = spatialdata.transform(shapes, to_coordinate_system="micrometers")
matched = spatialdata.match_table_to_element(sdata, element_name="nuclei", table_name="table")
print(json.dumps({
    "version": spatialdata.__version__,
    "systems": sorted(sdata.coordinate_systems),
    "ids": [*shapes.index],
    "wkt": [each.wkt for each in shapes.geometry],
    "bounds_um": um.geometry.bounds.to_numpy().tolist(),
    "areas": joined.loc[shapes.index, "area_um2"].tolist(),
    "matched": [*matched.obs["nucleus"]],
    "region": [*table.obs["region"].unique()],
    "spatial": table.obsm["spatial"].tolist(),
    "header": sdata.attrs["wsi_nucssl"],
    "types": [None if each != each else each for each in table.obs["type"]] if "type" in table.obs else None,
}))
sdata.write(sys.argv[2])
"""


@pytest.mark.interop
@pytest.mark.parametrize("typed", [False, True])
def test_spatialdata_opens_it(tmp_path: Path, *, typed: bool) -> None:
    python = os.environ.get(SPATIALDATA_PYTHON)
    if not python:
        pytest.skip(f"{SPATIALDATA_PYTHON} names no Python that has spatialdata")
    context, nuclei = STORED, make_nuclei()
    if typed:
        context, nuclei = replace(TYPED, types=TYPES), with_types(nuclei)
    paths = write(tmp_path, nuclei, context)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    again = tmp_path / "again" / "n.spatialdata.zarr"
    done = subprocess.run(
        [python, "-c", _READ_BY_SPATIALDATA, paths["spatialdata.zarr"], again],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    expected = features(paths["geojson"])
    ids = [each["id"] for each in expected]
    assert found["systems"] == ["global", "micrometers"]
    assert found["ids"] == found["matched"] == ids
    shapes = [shapely.geometry.shape(each["geometry"]) for each in expected]
    assert shapely.equals_exact(shapely.from_wkt(found["wkt"]), shapes).all()
    np.testing.assert_allclose(found["bounds_um"], shapely.bounds(shapes) * [0.125, 0.5, 0.125, 0.5])
    assert found["areas"] == [each["properties"]["measurements"]["Area µm^2"] for each in expected]
    assert found["region"] == ["nuclei"]
    centroids = shapely.get_coordinates(shapely.centroid(shapes))
    np.testing.assert_allclose(found["spatial"], centroids, atol=0.011)
    assert found["header"] == json.loads(json.dumps({**context.header}))
    if typed:
        assert found["types"] == [each["properties"]["classification"]["name"] for each in expected]
    stored, tables = read_stored(again)  # as the library wrote it
    export({tmp_path / "again.geojson": EXPORTERS.get("geojson")}, tables, stored)
    assert (tmp_path / "again.geojson").read_bytes() == paths["geojson"].read_bytes()
