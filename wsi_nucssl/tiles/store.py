"""The tile store: one slide's tissue as an OME-Zarr 0.5 image whose chunks are tiles.

    NAME.zarr/            group: attributes "ome" (multiscales) and "wsi_nucssl" (StoreMetadata)
        0/                uint8 (c, y, x), chunk = one tile; only tissue tiles are written
        tissue/           float32 (row, col): the part of each tile that is tissue
        checksums.bin     while tiles are written: place and CRC of each (`ChecksumLog`)

A tile is stored if its tissue reaches `min_tissue`. Zarr reads a chunk that is not there as background; here a
stored tile whose chunk is lost is an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import zarr
from numpy.typing import NDArray

from wsi_nucssl.checksums import ChecksumLog, Checksums
from wsi_nucssl.errors import InputError, WsiNucsslError
from wsi_nucssl.files import write_atomic
from wsi_nucssl.grid import Tile
from wsi_nucssl.locations import local
from wsi_nucssl.slide import RGB
from wsi_nucssl.tiles.codecs import checksum_of, codec_options, pack, unpack
from wsi_nucssl.tiles.metadata import MAX_TILES, StoreMetadata, multiscales

_SCHEMA: Final = 2
"""2: the checksum of each tile by its place, and a hash over all that the store says about itself."""
_MAX_TEXT: Final = 2**24
"""Bytes of a zarr.json at most."""
_LOG: Final = "checksums.bin"
STORE_NAMES: Final = ("zarr.json", "0", "tissue", _LOG)
"""All that lies in a store."""
_OURS: Final = "wsi_nucssl"
_GLASS: Final = 255


_DAMAGE: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError, WsiNucsslError)


class TileStore:
    """The stored tiles of one slide.

    Attributes
    ----------
    path : Path
        The store's folder.
    metadata : StoreMetadata
        What it says about itself.
    tissue : ndarray of float32
        (row, col), the part of each tile of `metadata.grid` that is tissue.
    """

    def __init__(
        self, path: Path, metadata: StoreMetadata, tissue: NDArray[np.float32], checksums: Checksums
    ) -> None:
        self.path = path
        self.metadata = metadata
        self.tissue = tissue
        self._checksums = checksums

    @classmethod
    def create(cls, path: Path, metadata: StoreMetadata, tissue: NDArray[np.float32]) -> Self:
        """A store without a tile yet. It counts as unfinished until `finish` is called."""
        group = zarr.create_group(path, overwrite=True, attributes={"ome": multiscales(metadata)})
        group.create_array(
            "0",
            shape=(3, *metadata.size.shape_rc),
            chunks=(3, metadata.tile_px, metadata.tile_px),
            dtype="uint8",
            fill_value=_GLASS,
            dimension_names=("c", "y", "x"),
            **codec_options(metadata.codec),
        )
        index = group.create_array(
            "tissue",
            shape=tissue.shape,
            chunks=tissue.shape,
            dtype="float32",
            fill_value=0.0,
            dimension_names=("row", "col"),
            filters=None,
            compressors=None,
            config={"write_empty_chunks": True},
        )
        index[:] = tissue
        group.attrs[_OURS] = _sealed(path, {"complete": False, "metadata": metadata.to_json()})
        return cls.open(path, unfinished=True)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, unfinished: bool = False) -> Self:
        """Open a store; one that is not finished is refused unless it is asked for.

        Raises
        ------
        InputError
            There is no store of ours, or it is not finished.
        """
        path = local(path)
        if not (path / "zarr.json").is_file():
            raise InputError("there is no tile store", path=path, remedy="Make one with wsi-nucssl tile")
        try:
            ours = _attributes(path).get(_OURS)
            if not isinstance(ours, dict) or ours.get("schema") != _SCHEMA:
                raise InputError(
                    f"this zarr is not a tile store of schema {_SCHEMA}",
                    path=path,
                    remedy="Make it again with wsi-nucssl tile ⟨overwrite⟩",
                )
            store = cls._opened(path, ours)
        except InputError:
            raise
        except _DAMAGE as error:
            raise InputError(
                f"the tile store's metadata is damaged ({type(error).__name__}: {error})",
                path=path,
                remedy="Make the store again with wsi-nucssl tile ⟨overwrite⟩",
            ) from error
        if not (ours["complete"] is True or unfinished):
            raise InputError(
                "the tile store is not finished",
                path=path,
                remedy="Run the same wsi-nucssl tile command again",
            )
        if not unfinished:
            store._check_whole()
        return store

    @classmethod
    def _opened(cls, path: Path, ours: dict[str, Any]) -> Self:
        if ours.get("sha256") != _sealed(path, ours)["sha256"]:
            raise ValueError("it does not match its hash")
        metadata = StoreMetadata.from_json(ours["metadata"])
        grid = metadata.grid
        tissue = np.fromfile(_tissue_file(path), np.float32)
        if ours["complete"] is True:
            listed = {(int(row), int(col)): int(crc) for row, col, crc in ours["checksums"]}
        else:
            listed = ChecksumLog(path / _LOG).read()
        return cls(path, metadata, tissue.reshape(grid.rows, grid.cols), listed)

    def __reduce__(self) -> tuple[object, ...]:
        """As how to open it again, for the workers of a loader."""
        return _open_again, (self.path.absolute(),)

    def __len__(self) -> int:
        return int(self._wanted.sum())

    def __iter__(self) -> Iterator[Tile]:
        for row, col in np.argwhere(self._wanted).tolist():
            yield self.metadata.grid.at(row, col)

    @property
    def sha256(self) -> str:
        """Hex SHA-256 over what the store says about itself, the checksums of all its tiles included."""
        return str(_attributes(self.path)[_OURS]["sha256"])

    @property
    def tissue_mm2(self) -> float:
        """Area of the tissue, in stored tiles and others."""
        cores = [tile.core.size.area for tile in self.metadata.grid]
        return float(self.tissue.ravel() @ np.array(cores)) * self.metadata.mpp.x * self.metadata.mpp.y / 1e6

    def read(self, row: int, col: int) -> RGB:
        """The pixels of one stored tile, uint8 RGB (row, col, 3); those at the border may be smaller.

        Raises
        ------
        IndexError
            The tile is glass, or outside the grid.
        InputError
            The tile should be there but is lost or damaged.
        """
        tile = self.metadata.grid.at(row, col)
        if not self._wanted[row, col]:
            raise IndexError(f"tile ({row}, {col}) holds too little tissue to be stored")
        if not self.holds(tile):
            raise self._lost(tile, "is lost")
        try:
            stored = np.fromfile(self._chunk(tile), np.uint8)
            if checksum_of(stored.tobytes()) != self._checksums.get((row, col)):
                raise ValueError("its checksum is not that of this place")
            pixels = unpack(self.metadata.codec, stored, self.metadata.tile_px)
        except (ValueError, RuntimeError) as error:
            raise self._lost(tile, f"is damaged ({error})") from error
        return np.ascontiguousarray(pixels[: tile.core.height, : tile.core.width])

    def write(self, tile: Tile, pixels: RGB) -> None:
        """Store the pixels of a tile's core, whole or not at all. Safe from many threads, a tile each."""
        self.note(tile, self.put(tile, pixels))

    def put(self, tile: Tile, pixels: RGB) -> int:
        """Write a tile's chunk and return its checksum; it counts as there when somebody has noted that.

        Several processes may put the same tile at a time.
        """
        packed, checksum = self._packed(pixels)
        chunk = self._chunk(tile)
        partial = chunk.with_suffix(f".{uuid.uuid4().hex[:8]}.partial")
        chunk.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb", buffering=0) as file:
            file.write(packed)
            file.write(checksum)
        partial.replace(chunk)
        return int.from_bytes(checksum, "little")

    def note(self, tile: Tile, crc: int) -> None:
        """A tile was put, here or elsewhere, and its chunk has this checksum."""
        ChecksumLog(self.path / _LOG).add(tile.row, tile.col, crc)
        self._checksums[tile.row, tile.col] = crc

    def _packed(self, pixels: RGB) -> tuple[Any, bytes]:
        """The bytes of a chunk and their checksum; a tile at the border is filled up."""
        side = self.metadata.tile_px
        if pixels.shape != (side, side, 3):
            whole = np.full((side, side, 3), _GLASS, np.uint8)
            whole[: pixels.shape[0], : pixels.shape[1]] = pixels
            pixels = whole
        return pack(self.metadata.codec, np.ascontiguousarray(pixels))

    def holds(self, tile: Tile) -> bool:
        """True if the tile has been written."""
        return self._chunk(tile).is_file()

    def is_sound(self, tile: Tile) -> bool:
        """True if the tile has been written, and its bytes are those that were written at its place."""
        known = self._checksums.get((tile.row, tile.col))
        return known is not None and self.holds(tile) and checksum_of(self._chunk(tile).read_bytes()) == known

    def fault(self, tile: Tile) -> str:
        """What is wrong with a tile, to follow its name: "is lost", say; "" if it is sound."""
        if not self.holds(tile):
            return "is lost"
        if self.is_sound(tile):
            return ""
        has = checksum_of(self._chunk(tile).read_bytes())
        place = next((place for place, crc in self._checksums.items() if crc == has), None)
        return f"holds what belongs to tile {place}" if place else "is damaged"

    def chunk_path(self, tile: Tile) -> Path:
        """The file of a tile."""
        return self._chunk(tile)

    def restore(self, tile: Tile, pixels: RGB) -> bool:
        """Write a tile of a finished store again; false, and nothing is done, if its bytes would be others.

        Parameters
        ----------
        tile : Tile
            Its place.
        pixels : uint8 (row, col, 3)
            RGB of its core.
        """
        packed, checksum = self._packed(pixels)
        if int.from_bytes(checksum, "little") != self._checksums.get((tile.row, tile.col)):
            return False
        write_atomic(self._chunk(tile), bytes(packed) + checksum)
        return True

    def _check_whole(self) -> None:
        for tile in self:
            if (tile.row, tile.col) not in self._checksums or not self.holds(tile):
                raise self._lost(tile, "is lost")

    def finish(self) -> None:
        """Declare the store whole.

        Raises
        ------
        InputError
            A tile that should be there is not.
        """
        self._check_whole()
        for partial in (self.path / "0").rglob("*.partial"):
            partial.unlink()
        checksums = [[tile.row, tile.col, self._checksums[tile.row, tile.col]] for tile in self]
        said = {"complete": True, "metadata": self.metadata.to_json(), "checksums": checksums}
        whole = json.loads((self.path / "zarr.json").read_bytes())
        whole["attributes"][_OURS] = _sealed(self.path, said)
        write_atomic(self.path / "zarr.json", json.dumps(whole))
        (self.path / _LOG).unlink(missing_ok=True)

    @property
    def _wanted(self) -> NDArray[np.bool_]:
        return wanted(self.tissue, self.metadata.min_tissue)

    def _chunk(self, tile: Tile) -> Path:
        return self.path / "0" / "c" / "0" / str(tile.row) / str(tile.col)

    def _lost(self, tile: Tile, fault: str) -> InputError:
        return InputError(
            f"tile ({tile.row}, {tile.col}) {fault}",
            path=self._chunk(tile),
            remedy="Make the store again with wsi-nucssl tile ⟨overwrite⟩",
        )


def _attributes(path: Path) -> dict[str, Any]:
    """What the store's zarr.json says, bounded in size."""
    file = path / "zarr.json"
    if file.stat().st_size > 2 * _MAX_TEXT:
        raise ValueError("its zarr.json is too large")
    attributes: dict[str, Any] = dict(json.loads(file.read_bytes())["attributes"])
    return attributes


def _tissue_file(path: Path) -> Path:
    return path / "tissue" / "c" / "0" / "0"


def _sealed(path: Path, said: dict[str, Any]) -> dict[str, Any]:
    """What a store says about itself, with a hash over it, its tissue and how its arrays are described."""
    content = {**{key: value for key, value in said.items() if key != "sha256"}, "schema": _SCHEMA}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name in ("0/zarr.json", "tissue/zarr.json"):
        digest.update(json.dumps(json.loads((path / name).read_bytes()), sort_keys=True).encode())
    tissue = _tissue_file(path)
    if tissue.stat().st_size > 4 * MAX_TILES:
        raise ValueError("its tissue array is too large")
    digest.update(tissue.read_bytes())
    return {**content, "sha256": digest.hexdigest()}


def _open_again(path: Path) -> TileStore:
    return TileStore.open(path, unfinished=True)


def wanted(tissue: NDArray[np.float32], min_tissue: float) -> NDArray[np.bool_]:
    """Which tiles are stored: those whose tissue reaches `min_tissue`."""
    return tissue >= np.float32(min_tissue)
