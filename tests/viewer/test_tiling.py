"""Nuclei as tiles: every one is there once, where it was, with its values."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tests.viewer.making import MPP, TYPES, squares, write_nuclei, write_slide
from wsi_nucssl.errors import InputError
from wsi_nucssl.export.reading import NucleiFile
from wsi_nucssl.geometry import Mpp, Point, Size
from wsi_nucssl.viewer.batch import Batch
from wsi_nucssl.viewer.batches import NucleiSource
from wsi_nucssl.viewer.reading import TiledNuclei
from wsi_nucssl.viewer.tiling import TILE_PX, column_file, tile_file, write_tiles

PLACES = [(10, 20, 30), (2030, 5, 33), (2100, 2500, 12), (4090, 4090, 9), (2500, 300, 60)]
LARGE = Size(5000, 5000)


def _tiles(source: NucleiSource, folder: Path) -> TiledNuclei:
    write_tiles(folder, source, LARGE, Mpp.square(MPP), {"header": dict(source.header)})
    return TiledNuclei.open(folder)


@pytest.mark.parametrize("ending", ["geojson", "geojson.gz", "parquet"])
def test_each_nucleus_is_in_one_tile_with_its_outline_its_values_and_its_id(
    tmp_path: Path, ending: str
) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    slide = write_slide(tmp_path / "slide.png")
    path = write_nuclei(tmp_path / f"n.{ending}", slide, PLACES, typed=True)
    tiled = _tiles(NucleiSource(path, Point(0, 0)), tmp_path / "tiles")
    assert len(tiled) == len(PLACES)
    assert sorted(tiled.tiles) == [(0, 0), (0, 1), (1, 1)]  # 2030 + 33 / 2 lies left of 2048
    found = {place: shape for tile in tiled.tiles for place, shape in _by_corner(tiled, tile)}
    for number, (x, y, side) in enumerate(PLACES):
        hole = (side - 2 * (side // 3)) ** 2 if number % 2 else 0
        assert found[(x, y)].area == side * side - hole
        assert found[(x, y)].bounds == (x, y, x + side, y + side)
    areas = np.fromfile(tiled.folder / column_file(_number(tiled, "Area µm^2")), "<f4")
    assert sorted(areas) == sorted(side * side * MPP * MPP for *_, side in PLACES)
    assert tiled.index["columns"][0]["classes"] == [{"name": t.name, "color": [*t.color]} for t in TYPES]
    original = NucleiFile(write_nuclei(tmp_path / "same.geojson", slide, PLACES, typed=True))
    assert sorted(_ids(tiled)) == sorted(str(nucleus.feature["id"]) for nucleus in original)


def _number(tiled: TiledNuclei, name: str) -> int:
    return [each["name"] for each in tiled.index["columns"]].index(name)


def _by_corner(
    tiled: TiledNuclei, tile: tuple[int, int]
) -> list[tuple[tuple[float, float], shapely.Polygon]]:
    return [((shape.bounds[0], shape.bounds[1]), shape) for shape in tiled.outlines(*tile)]


def _ids(tiled: TiledNuclei) -> list[str]:
    found = []
    for (row, col), numbers in tiled.tiles.items():
        tail = (tiled.folder / tile_file(row, col)).read_bytes()[-16 * len(numbers) :]
        found += [str(uuid.UUID(bytes=tail[k : k + 16])) for k in range(0, len(tail), 16)]
    return found


def test_other_programs_files_count_from_the_bounds_and_get_an_area(tmp_path: Path) -> None:
    features = [
        _feature(
            [[0, 0], [0, 8], [8, 8], [8, 0], [0, 0]],
            {"classification": {"name": "Tumor", "color": [1, 2, 3]}},
        ),
        _feature([[20, 0], [20, 4], [24, 4], [24, 0]], {"measurements": [{"name": "Grade", "value": 2}]}),
        _feature([[50, 0], [50, 4], [54, 4], [50, 0]], {"measurements": {"Grade": "NaN", "Solidity": 1}}),
    ]
    path = tmp_path / "theirs.geojson"
    path.write_bytes(orjson.dumps({"type": "FeatureCollection", "features": features}))
    tiled = _tiles(NucleiSource(path, Point(100, 200)), tmp_path / "tiles")
    assert tiled.outlines(0, 0)[0].bounds == (100, 200, 108, 208)
    names = [each["name"] for each in tiled.index["columns"]]
    assert names == ["Class", "Grade", "Solidity", "Area µm^2"]
    assert np.fromfile(tiled.folder / column_file(3), "<f4").tolist() == [16, 4, 2]  # of 64, 16 and 8 px²
    np.testing.assert_array_equal(np.fromfile(tiled.folder / column_file(1), "<f4"), [np.nan, 2, np.nan])
    assert [each["name"] for each in tiled.index["columns"][0]["classes"]] == ["Tumor", "no class"]


def _feature(ring: list[list[int]], properties: dict[str, object]) -> dict[str, object]:
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


@given(
    st.lists(
        st.tuples(st.integers(0, 3000), st.integers(0, 3000), st.integers(3, 90)), min_size=1, max_size=8
    )
)
def test_places_are_those_of_shapely(places: list[tuple[int, int, int]]) -> None:
    nuclei = squares(places)
    last = np.zeros(len(nuclei.ring_xy), bool)
    last[nuclei.ring_offsets[1:] - 1] = True
    vertices = np.diff(nuclei.ring_offsets) - 1
    hole = np.ones(len(vertices), bool)
    hole[nuclei.polygon_offsets[:-1]] = False
    xy = nuclei.ring_xy[~last].astype(float)
    ids = np.zeros((len(nuclei), 16), np.uint8)
    rings = np.diff(nuclei.polygon_offsets)
    batch = Batch(ids, xy, np.where(hole, -vertices, vertices), rings, {}, [("", (0, 0, 0))] * len(nuclei))
    centroids, area = batch.places()
    for index in range(len(nuclei)):
        outer, *inner = nuclei.rings(index)
        shape = shapely.Polygon(outer, inner)
        assert area[index] == pytest.approx(shape.area)
        np.testing.assert_allclose(centroids[index], shape.centroid.coords[0])


def test_outlines_without_area_have_a_place_too() -> None:
    xy = np.array([[4.0, 4], [8, 4], [6, 4]])
    batch = Batch(np.zeros((1, 16), np.uint8), xy, np.array([3]), np.array([1]), {}, [("", (0, 0, 0))])
    centroids, area = batch.places()
    assert centroids.tolist() == [[6, 4]]
    assert area.tolist() == [0]


def test_nuclei_in_pieces_and_outlines_that_cross_themselves_are_read_back(tmp_path: Path) -> None:
    pieces = {
        "type": "MultiPolygon",
        "coordinates": [[[[0, 0], [0, 4], [4, 4], [4, 0]]], [[[5, 0], [5, 4], [7, 4]]]],
    }
    two = {"type": "Feature", "geometry": pieces, "properties": {"objectType": "detection"}}
    crossed = _feature([[20, 0], [24, 4], [24, 0], [20, 4]], {"objectType": "detection"})
    flat = _feature([[40, 0], [44, 0], [40, 0]], {"objectType": "detection"})
    path = tmp_path / "odd.geojson"
    path.write_bytes(orjson.dumps({"type": "FeatureCollection", "features": [two, crossed, flat]}))
    tiled = _tiles(NucleiSource(path, Point(0, 0)), tmp_path / "t")
    shapes = tiled.outlines(0, 0)
    assert shapely.area(shapes).tolist() == [20, 8, 0]
    assert shapely.is_valid(shapes).all()


def test_an_outline_larger_than_its_tile_keeps_its_shape(tmp_path: Path) -> None:
    ring = [[0, 0], [0, 30000], [30000, 30000], [30000, 0]]
    path = tmp_path / "annotation.geojson"
    path.write_bytes(orjson.dumps({"type": "FeatureCollection", "features": [_feature(ring, {})]}))
    write_tiles(tmp_path / "t", NucleiSource(path, Point(0, 0)), Size(30000, 30000), None, {})
    tiled = TiledNuclei.open(tmp_path / "t")
    ((row, col),) = tiled.tiles
    assert (row, col) == (15000 // TILE_PX, 15000 // TILE_PX)
    np.testing.assert_allclose(tiled.outlines(row, col)[0].bounds, (0, 0, 30000, 30000), atol=1)


def test_no_nuclei_are_no_tiles(tmp_path: Path) -> None:
    path = tmp_path / "none.geojson"
    path.write_bytes(b'{"type":"FeatureCollection","features":[]}')
    assert len(_tiles(NucleiSource(path, Point(0, 0)), tmp_path / "t")) == 0


def test_what_holds_no_outlines_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"n\.zarr.*the viewer reads nuclei from \.geojson"):
        NucleiSource(tmp_path / "n.zarr", Point(0, 0))
    bad = tmp_path / "n.geojson"
    bad.write_bytes(
        b'{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Point"}}]}'
    )
    with pytest.raises(InputError, match=r"n\.geojson"):
        [*NucleiSource(bad, Point(0, 0))]


def test_the_same_nuclei_give_the_same_bytes(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.png")
    path = write_nuclei(tmp_path / "n.geojson", slide, PLACES)
    one, other = (_tiles(NucleiSource(path, Point(0, 0)), tmp_path / name).folder for name in "ab")
    files = sorted(file.relative_to(one) for file in one.rglob("*") if file.is_file())
    assert files
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in files)


@pytest.mark.parametrize("ending", ["geojson.gz", "parquet", "h5ad", "spatialdata.zarr"])
def test_every_format_with_outlines_gives_the_same_tiles(tmp_path: Path, ending: str) -> None:
    slide = write_slide(tmp_path / "slide.png")
    folders = []
    for name in ("geojson", ending):
        path = write_nuclei(tmp_path / f"n.{name}", slide, PLACES, typed=True, origin_l0=[5, 7])
        folders.append(_tiles(NucleiSource(path, Point(0, 0)), tmp_path / f"tiles of {name}").folder)
    files = [sorted(each.relative_to(folder) for each in folder.rglob("*.bin")) for folder in folders]
    assert files[0] == files[1]
    assert files[0]
    assert all((folders[0] / each).read_bytes() == (folders[1] / each).read_bytes() for each in files[0])


def test_a_csv_is_shown_as_circles_of_the_same_area(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.png")
    paths = [write_nuclei(tmp_path / f"n.{name}", slide, PLACES, typed=True) for name in ("csv", "geojson")]
    (drawn,), (expected,) = ([*NucleiSource(path, Point(30, 40))] for path in paths)
    centres, areas = drawn.places()
    true_centres, true_areas = expected.places()
    corner = np.array([30, 40])  # which the GeoJSON says itself, and a CSV does not
    np.testing.assert_allclose(centres, true_centres + corner, atol=0.01)
    measured = drawn.values["Area µm^2"] / MPP**2
    np.testing.assert_allclose(areas, measured * np.sin(np.pi / 8) / (np.pi / 8), rtol=1e-3)
    assert true_areas.shape == areas.shape
    assert drawn.ids.tolist() == expected.ids.tolist()
    assert [name for name, _ in drawn.classes] == [name for name, _ in expected.classes]
    source = NucleiSource(paths[0], Point(0, 0))
    assert len(_tiles(source, tmp_path / "tiles")) == len(PLACES)
    assert [doubt.kind for doubt in source.doubts] == ["no-outlines"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:0],
        lambda text: text.replace("centroid_x_um", "x", 1),
        lambda text: text.replace(",0\n", "\n"),
        lambda text: text.replace(".00,", ".0x,", 1),
        lambda text: text.replace(".00,", "e999,", 1),
    ],
)
def test_a_csv_of_others_is_named(tmp_path: Path, change: Callable[[str], str]) -> None:
    slide = write_slide(tmp_path / "slide.png")
    path = write_nuclei(tmp_path / "n.csv", slide, PLACES)
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=r"n\.csv"):
        [*NucleiSource(path, Point(0, 0))]
    path.unlink()
    with pytest.raises(InputError, match=r"n\.csv: there is no such file"):
        [*NucleiSource(path, Point(0, 0))]
