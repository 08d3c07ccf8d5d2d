"""What is written comes back, what is lost is noticed, and anybody's zarr reads it."""

import json
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.geometry import Mpp, Size
from wsi_nucssl.tiles.codecs import CODECS, CodecName, codec_options
from wsi_nucssl.tiles.metadata import StoreMetadata
from wsi_nucssl.tiles.store import TileStore

LOSSLESS = [codec for codec in CODECS if codec != "jpeg"]


SIZE = Size(70, 50)


def metadata(size: Size = SIZE, tile_px: int = 32, codec: CodecName = "none", **other: Any) -> StoreMetadata:
    given: dict[str, Any] = {
        "name": "a.svs",
        "mpp": Mpp(0.25, 0.5),
        "min_tissue": 0.5,
        "provenance": {"slide": "abc"},
    }
    return StoreMetadata(size=size, tile_px=tile_px, codec=codec, **{**given, **other})


def picture(size: Size, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size.shape_rc, 3), dtype=np.uint8)


def full_store(
    path: Path, what: StoreMetadata, image: np.ndarray, tissue: np.ndarray | None = None
) -> TileStore:
    grid = what.grid
    tissue = np.ones((grid.rows, grid.cols), np.float32) if tissue is None else tissue
    store = TileStore.create(path, what, tissue)
    for tile in store:
        store.write(tile, image[tile.core.rc])
    store.finish()
    return TileStore.open(path)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 80), st.integers(1, 80), st.integers(16, 40), st.sampled_from(LOSSLESS), st.data())
def test_tiles_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory,
    width: int,
    height: int,
    tile_px: int,
    codec: CodecName,
    data: st.DataObject,
) -> None:
    what = metadata(Size(width, height), tile_px, codec)
    cells = what.grid.rows * what.grid.cols
    parts = data.draw(st.lists(st.sampled_from([0.0, 0.4999, 0.5, 1.0]), min_size=cells, max_size=cells))
    tissue = np.array(parts, np.float32).reshape(what.grid.rows, what.grid.cols)
    image = picture(what.size)
    store = full_store(tmp_path_factory.mktemp("store") / "s.zarr", what, image, tissue)
    assert store.metadata == what
    np.testing.assert_array_equal(store.tissue, tissue)
    assert [(tile.row, tile.col) for tile in store] == [tuple(place) for place in np.argwhere(tissue >= 0.5)]
    assert len(store) == len(list(store))
    for tile in store:
        np.testing.assert_array_equal(store.read(tile.row, tile.col), image[tile.core.rc])


def test_a_store_pickles_as_how_to_open_it_again(tmp_path: Path) -> None:
    image = picture(SIZE)
    store = full_store(tmp_path / "s.zarr", metadata(), image)
    assert len(pickle.dumps(store)) < 300
    tile = next(iter(store))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        np.testing.assert_array_equal(pool.submit(store.read, 0, 0).result(), image[tile.core.rc])
    packed = pickle.dumps(store)
    store.path.rename(tmp_path / "moved.zarr")
    with pytest.raises(InputError, match="there is no tile store"):
        pickle.loads(packed)


def test_jpeg_comes_close_and_is_small(tmp_path: Path) -> None:
    x, y = np.meshgrid(np.arange(96), np.arange(64))
    image = np.stack([x * 2, y * 2, x + y], -1).astype(np.uint8)
    store = full_store(tmp_path / "s.zarr", metadata(Size(96, 64), 32, "jpeg"), image)
    for tile in store:
        error = np.abs(store.read(tile.row, tile.col).astype(int) - image[tile.core.rc])
        assert error.mean() < 4
        assert (tmp_path / "s.zarr" / "0" / "c" / "0" / str(tile.row) / str(tile.col)).stat().st_size < 2000


def test_jpeg_packs_only_rgb_planes(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        zarr.create_array(tmp_path / "a", shape=(5, 5), chunks=(5, 5), dtype="uint8", **codec_options("jpeg"))


@pytest.mark.parametrize("codec", CODECS)
def test_plain_zarr_reads_it(tmp_path: Path, codec: CodecName) -> None:
    image = picture(SIZE)
    store = full_store(tmp_path / "s.zarr", metadata(codec=codec), image)
    pixels = zarr.open_group(tmp_path / "s.zarr", mode="r")["0"]
    assert isinstance(pixels, zarr.Array)
    assert pixels.shape == (3, 50, 70)
    assert pixels.chunks == (3, 32, 32)
    np.testing.assert_array_equal(np.moveaxis(np.asarray(pixels[:, :32, :32]), 0, -1), store.read(0, 0))


def test_metadata_is_ome_zarr_0_5(tmp_path: Path) -> None:
    full_store(tmp_path / "s.zarr", metadata(), picture(SIZE))
    group = json.loads((tmp_path / "s.zarr" / "zarr.json").read_text())
    assert (group["zarr_format"], group["node_type"]) == (3, "group")
    ome = group["attributes"]["ome"]
    assert ome["version"] == "0.5"
    (multiscale,) = ome["multiscales"]
    names = [axis["name"] for axis in multiscale["axes"]]
    assert [axis["type"] for axis in multiscale["axes"]] == ["channel", "space", "space"]
    (dataset,) = multiscale["datasets"]
    (transform,) = dataset["coordinateTransformations"]
    assert transform == {"type": "scale", "scale": [1.0, 0.5, 0.25]}
    array = json.loads((tmp_path / "s.zarr" / dataset["path"] / "zarr.json").read_text())
    assert array["zarr_format"] == 3
    assert array["dimension_names"] == names == ["c", "y", "x"]
    assert len(array["shape"]) == len(names)
    for channel in ome["omero"]["channels"]:
        assert len(channel["color"]) == 6
        assert {"min", "max", "start", "end"} <= channel["window"].keys()


def test_a_lost_tile_is_an_error_not_background(tmp_path: Path) -> None:
    store = full_store(tmp_path / "s.zarr", metadata(), picture(SIZE))
    chunk = tmp_path / "s.zarr" / "0" / "c" / "0" / "1" / "2"
    chunk.unlink()
    with pytest.raises(InputError, match=r"tile \(1, 2\) is lost"):
        store.read(1, 2)
    with pytest.raises(InputError, match="is lost"):
        store.finish()


@pytest.mark.parametrize("codec", CODECS)
def test_a_damaged_tile_is_an_error(tmp_path: Path, codec: CodecName) -> None:
    store = full_store(tmp_path / "s.zarr", metadata(codec=codec), picture(SIZE))
    chunk = tmp_path / "s.zarr" / "0" / "c" / "0" / "0" / "1"
    chunk.write_bytes(chunk.read_bytes()[:100])
    with pytest.raises(InputError, match=r"tile \(0, 1\) is damaged"):
        store.read(0, 1)


def test_an_all_white_tile_is_written(tmp_path: Path) -> None:
    store = full_store(tmp_path / "s.zarr", metadata(), np.full((50, 70, 3), 255, np.uint8))
    assert (store.read(0, 0) == 255).all()


def test_glass_is_not_stored(tmp_path: Path) -> None:
    tissue = np.array([[1, 0, 1], [1, 1, 1]], np.float32)
    store = full_store(tmp_path / "s.zarr", metadata(), picture(SIZE), tissue)
    assert len(store) == 5
    with pytest.raises(IndexError, match="too little tissue"):
        store.read(0, 1)


def test_only_finished_stores_open(tmp_path: Path) -> None:
    TileStore.create(tmp_path / "s.zarr", metadata(), np.ones((2, 3), np.float32))
    with pytest.raises(InputError, match="not finished"):
        TileStore.open(tmp_path / "s.zarr")
    with pytest.raises(InputError, match="no tile store"):
        TileStore.open(tmp_path / "absent.zarr")
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(InputError, match="not a tile store"):
        TileStore.open(tmp_path / "other.zarr")
