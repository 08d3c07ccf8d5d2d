"""What was tampered with in a tile store is an error by name; nothing large is taken for what a file claims."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiles.test_store import SIZE, full_store, metadata, picture
from wsi_nucssl.errors import InputError
from wsi_nucssl.tiles import store as module
from wsi_nucssl.tiles.store import TileStore

Tamper = Callable[[dict[str, Any]], Any]


def ours(**changes: Any) -> Tamper:
    return lambda group: group["attributes"]["wsi_nucssl"].update(changes)


def said(**changes: Any) -> Tamper:
    return lambda group: group["attributes"]["wsi_nucssl"]["metadata"].update(changes)


TAMPERINGS: dict[str, Tamper] = {
    "no attributes": lambda group: group.pop("attributes"),
    "attributes a list": lambda group: group.update(attributes=[1]),
    "ours a list": lambda group: group["attributes"].update(wsi_nucssl=[1]),
    "ours null": lambda group: group["attributes"].update(wsi_nucssl=None),
    "no schema": lambda group: group["attributes"]["wsi_nucssl"].pop("schema"),
    "schema 1": ours(schema=1),
    "schema text": ours(schema="2"),
    "no complete": lambda group: group["attributes"]["wsi_nucssl"].pop("complete"),
    "complete text": ours(complete="yes"),
    "complete false": ours(complete=False),
    "no metadata": lambda group: group["attributes"]["wsi_nucssl"].pop("metadata"),
    "metadata a list": ours(metadata=[]),
    "no checksums": lambda group: group["attributes"]["wsi_nucssl"].pop("checksums"),
    "checksums text": ours(checksums="abc"),
    "checksums short": ours(checksums=[[0, 0, 1]]),
    "sha256 other": ours(sha256="0" * 64),
    "name a number": said(name=3),
    "size of one": said(size=[70]),
    "size negative": said(size=[-70, 50]),
    "size text": said(size="70x50"),
    "size a bomb": said(size=[2**31, 2**31]),
    "mpp zero": said(mpp=[0, 0]),
    "mpp other": said(mpp=[0.5, 0.5]),
    "mpp NaN": said(mpp=[float("nan")] * 2),
    "tile_px zero": said(tile_px=0),
    "tile_px text": said(tile_px="32"),
    "tile_px a bomb": said(tile_px=2**31),
    "min_tissue 9": said(min_tissue=9),
    "codec gif": said(codec="gif"),
    "provenance a list": said(provenance=[]),
    "unknown key": said(colour="blue"),
}
RESEALED = [
    name for name in TAMPERINGS if name.startswith(("name", "size", "mpp z", "mpp N", "tile", "min", "codec"))
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return full_store(tmp_path / "s.zarr", metadata(), picture(SIZE)).path


def tamper(path: Path, name: str) -> dict[str, Any]:
    group: dict[str, Any] = json.loads((path / "zarr.json").read_text())
    TAMPERINGS[name](group)
    (path / "zarr.json").write_text(json.dumps(group))
    return group


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampered_metadata_is_an_error_by_name(path: Path, name: str) -> None:
    tamper(path, name)
    with pytest.raises(InputError, match=r"s\.zarr"):
        TileStore.open(path)


@pytest.mark.parametrize("name", RESEALED)
def test_a_hash_that_was_made_anew_does_not_help(path: Path, name: str) -> None:
    group = tamper(path, name)
    group["attributes"]["wsi_nucssl"] = module._sealed(path, group["attributes"]["wsi_nucssl"])
    (path / "zarr.json").write_text(json.dumps(group))
    with pytest.raises(InputError, match="metadata is damaged"):
        TileStore.open(path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "null", "\x00" * 50, '{"attributes": 3}'])
def test_a_group_file_that_is_none(path: Path, text: str) -> None:
    (path / "zarr.json").write_text(text)
    with pytest.raises(InputError, match="metadata is damaged"):
        TileStore.open(path)


@pytest.mark.parametrize("name", ["0/zarr.json", "tissue/zarr.json", "tissue/c/0/0", "0/c/0/1/2"])
def test_a_lost_file_is_noticed_on_opening(path: Path, name: str) -> None:
    (path / name).unlink()
    with pytest.raises(InputError, match=r"lost|damaged"):
        TileStore.open(path)


@pytest.mark.parametrize("name", ["0/zarr.json", "tissue/c/0/0"])
def test_a_flipped_bit_is_noticed_on_opening(path: Path, name: str) -> None:
    data = bytearray((path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        TileStore.open(path)


def test_a_tile_in_anothers_place_is_noticed(path: Path) -> None:
    one, other = (path / "0" / "c" / "0" / "0" / col for col in "01")
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    store = TileStore.open(path)
    for col in (0, 1):
        with pytest.raises(InputError, match="not that of this place"):
            store.read(0, col)
    assert store.read(1, 0).shape == (18, 32, 3)


@pytest.mark.parametrize("damage", [b"", b"0123", None])
def test_an_unfinished_store_knows_which_tiles_are_sound(tmp_path: Path, damage: bytes | None) -> None:
    store = TileStore.create(tmp_path / "s.zarr", metadata(), np.ones((2, 3), np.float32))
    image = picture(SIZE)
    for tile in store:
        store.write(tile, image[tile.core.rc])
    chunk = tmp_path / "s.zarr" / "0" / "c" / "0" / "1" / "1"
    flipped = bytes([chunk.read_bytes()[0] ^ 1]) + chunk.read_bytes()[1:]
    chunk.write_bytes(flipped if damage is None else damage)
    with (tmp_path / "s.zarr" / "checksums.bin").open("ab") as log:
        log.write(b"cut off")
    again = TileStore.open(tmp_path / "s.zarr", unfinished=True)
    assert [(tile.row, tile.col) for tile in again if not again.is_sound(tile)] == [(1, 1)]
    again.write(again.metadata.grid.at(1, 1), image[again.metadata.grid.at(1, 1).core.rc])
    TileStore.open(tmp_path / "s.zarr", unfinished=True).finish()
    np.testing.assert_array_equal(TileStore.open(tmp_path / "s.zarr").read(1, 1), store.read(1, 1))
