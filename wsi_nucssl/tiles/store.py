"""The tile store: one slide's tissue as an OME-Zarr 0.5 image whose chunks are tiles.

    NAME.zarr/            group: attributes "ome" (multiscales) and "wsi_nucssl" (StoreMetadata)
        0/                uint8 (c, y, x), chunk = one tile; only tissue tiles are written
        tissue/           float32 (row, col): the part of each tile that is tissue

A tile is stored if its tissue reaches `min_tissue`. Zarr reads a chunk that is not there as background; here a
stored tile whose chunk is lost is an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from wsi_nucssl import checks
from wsi_nucssl.errors import InputError
from wsi_nucssl.geometry import Mpp, Size
from wsi_nucssl.grid import Tile, TileGrid
from wsi_nucssl.slide import RGB
from wsi_nucssl.tiles.codecs import CodecName, codec_options, pack, unpack

OME_VERSION: Final = "0.5"
_SCHEMA: Final = 1
_OURS: Final = "wsi_nucssl"
_GLASS: Final = 255


@dataclass(frozen=True, slots=True)
class StoreMetadata:
    """What a store says about itself.

    Attributes
    ----------
    name : str
        Of the slide.
    size : Size
        Of the whole slide at `mpp`, in px; `grid` cuts it up.
    mpp : Mpp
        µm per px.
    tile_px : int
        Side of a tile.
    min_tissue : float
        A tile is stored if at least this part of it is tissue.
    codec : CodecName
        How tiles are packed.
    provenance : mapping of str to Any
        Slide identity, reader and versions, as JSON.
    """

    name: str
    size: Size
    mpp: Mpp
    tile_px: int
    min_tissue: float
    codec: CodecName
    provenance: Mapping[str, Any]

    @property
    def grid(self) -> TileGrid:
        """The grid whose tiles the store holds."""
        return TileGrid(self.size, Size(self.tile_px, self.tile_px))

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `from_json` reads them back."""
        return {
            "name": self.name,
            "size": [self.size.width, self.size.height],
            "mpp": [self.mpp.x, self.mpp.y],
            "tile_px": self.tile_px,
            "min_tissue": self.min_tissue,
            "codec": self.codec,
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The metadata that `to_json` wrote."""
        return cls(**{**stored, "size": Size(*stored["size"]), "mpp": Mpp(*stored["mpp"])})


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

    def __init__(self, path: Path, metadata: StoreMetadata, group: zarr.Group) -> None:
        self.path = path
        self.metadata = metadata
        self.tissue = cast("NDArray[np.float32]", cast("zarr.Array[Any]", group["tissue"])[:])

    @classmethod
    def create(cls, path: Path, metadata: StoreMetadata, tissue: NDArray[np.float32]) -> Self:
        """A store without a tile yet. It counts as unfinished until `finish` is called."""
        group = zarr.create_group(path, overwrite=True, attributes={"ome": _multiscales(metadata)})
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
            "tissue", shape=tissue.shape, dtype="float32", fill_value=0.0, dimension_names=("row", "col")
        )
        index[:] = tissue
        group.attrs[_OURS] = {"schema": _SCHEMA, "complete": False, "metadata": metadata.to_json()}
        return cls.open(path, unfinished=True)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, unfinished: bool = False) -> Self:
        """Open a store; one that is not finished is refused unless it is asked for.

        Raises
        ------
        InputError
            There is no store of ours, or it is not finished.
        """
        path = Path(checks.path("path", path))
        if not (path / "zarr.json").is_file():
            raise InputError("there is no tile store", path=path, remedy="Make one with wsi-nucssl tile")
        group = zarr.open_group(path, mode="r")
        ours = cast("dict[str, Any]", group.attrs.get(_OURS, {}))
        if ours.get("schema") != _SCHEMA:
            raise InputError(
                f"this zarr is not a tile store of schema {_SCHEMA}",
                path=path,
                remedy="Make one with wsi-nucssl tile",
            )
        if not (ours["complete"] or unfinished):
            raise InputError(
                "the tile store is not finished",
                path=path,
                remedy="Run the same wsi-nucssl tile command again",
            )
        return cls(path, StoreMetadata.from_json(ours["metadata"]), group)

    def __reduce__(self) -> tuple[object, ...]:
        """As how to open it again, for the workers of a loader."""
        return _open_again, (self.path.absolute(),)

    def __len__(self) -> int:
        return int(self._wanted.sum())

    def __iter__(self) -> Iterator[Tile]:
        for row, col in np.argwhere(self._wanted).tolist():
            yield self.metadata.grid.at(row, col)

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
            pixels = unpack(
                self.metadata.codec, np.fromfile(self._chunk(tile), np.uint8), self.metadata.tile_px
            )
        except ValueError as error:
            raise self._lost(tile, f"is damaged ({error})") from error
        return np.ascontiguousarray(pixels[: tile.core.height, : tile.core.width])

    def write(self, tile: Tile, pixels: RGB) -> None:
        """Store the pixels of a tile's core, whole or not at all. Safe from many threads, a tile each."""
        side = self.metadata.tile_px
        if pixels.shape != (side, side, 3):
            whole = np.full((side, side, 3), _GLASS, np.uint8)
            whole[: tile.core.height, : tile.core.width] = pixels
            pixels = whole
        packed, checksum = pack(self.metadata.codec, np.ascontiguousarray(pixels))
        chunk = self._chunk(tile)
        partial = chunk.with_suffix(".partial")
        chunk.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb", buffering=0) as file:
            file.write(packed)
            file.write(checksum)
        partial.replace(chunk)

    def holds(self, tile: Tile) -> bool:
        """True if the tile has been written."""
        return self._chunk(tile).is_file()

    def finish(self) -> None:
        """Declare the store whole.

        Raises
        ------
        InputError
            A tile that should be there is not.
        """
        for tile in self:
            if not self.holds(tile):
                raise self._lost(tile, "is lost")
        for partial in (self.path / "0").rglob("*.partial"):
            partial.unlink()
        attributes = zarr.open_group(self.path, mode="r+").attrs
        attributes[_OURS] = {"schema": _SCHEMA, "complete": True, "metadata": self.metadata.to_json()}

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


def _open_again(path: Path) -> TileStore:
    return TileStore.open(path, unfinished=True)


def wanted(tissue: NDArray[np.float32], min_tissue: float) -> NDArray[np.bool_]:
    """Which tiles are stored: those whose tissue reaches `min_tissue`."""
    return tissue >= np.float32(min_tissue)


def _multiscales(metadata: StoreMetadata) -> dict[str, Any]:
    """OME-Zarr 0.5 metadata of an RGB image with one resolution, in µm."""
    scale = {"type": "scale", "scale": [1.0, metadata.mpp.y, metadata.mpp.x]}
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    return {
        "version": OME_VERSION,
        "multiscales": [
            {
                "name": metadata.name,
                "axes": [
                    {"name": "c", "type": "channel"},
                    {"name": "y", "type": "space", "unit": "micrometer"},
                    {"name": "x", "type": "space", "unit": "micrometer"},
                ],
                "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
            }
        ],
        "omero": {
            "channels": [
                {"label": label, "color": color, "active": True, "window": window}
                for label, color in (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
            ]
        },
    }
