"""A label image that viewers open: OME-Zarr 0.5, drawn from the outlines, of which the px are exactly the nuclei.

    NAME.zarr/                group: an image of glass, with no px stored, since readers want labels to be of an image
        0/, 1/, …             uint8 (y, x)
        ids/                  uint8 (n, 16): row i is the id of the nucleus with label i + 1
        labels/nuclei/        group: the label image
            0/, 1/, …         int32 (y, x) at the px that the network answers at, then every second px of that

Each level is cut into shards of chunks. Outlines wait on disk, shard by shard, so that memory holds one shard however
many nuclei there are and in whichever order they come. https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from wsi_nucssl.export.base import ExportContext, Exporter, WriteNuclei
from wsi_nucssl.files import remove_tree
from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.grid import Tile, TileGrid
from wsi_nucssl.nuclei.painting import paint_polygons
from wsi_nucssl.nuclei.table import Nuclei

_SHARD_PX: Final = 4096
_CHUNK_PX: Final = 1024
_IDS_A_CHUNK: Final = 65536
_ZSTD_LEVEL: Final = 1
_GLASS: Final = 255
_VERSION: Final = "0.5"
LABELS: Final = "labels/nuclei"


@contextmanager
def _open(path: Path, context: ExportContext) -> Iterator[WriteNuclei]:
    waiting = _Waiting(path / "waiting", context)
    waiting.folder.mkdir(parents=True)
    yield waiting.add
    extent = context.extent or Size(*(max(1, side) for side in waiting.reach))
    _write(path, waiting, extent, context)
    remove_tree(waiting.folder)


@dataclass
class _Waiting:
    """Outlines on disk, those of each shard in a file of their own, and ids."""

    folder: Path
    context: ExportContext
    count: int = 0
    reach: tuple[int, int] = (0, 0)
    shards: set[tuple[int, int]] = field(default_factory=set)

    def add(self, nuclei: Nuclei) -> None:
        """Keep a table for later, in every shard that it reaches."""
        if not len(nuclei):
            return
        xy = self.context.canvas_xy(nuclei)
        first = nuclei.ring_offsets[nuclei.polygon_offsets[:-1]]
        least, most = np.minimum.reduceat(xy, first), np.maximum.reduceat(xy, first)
        self.reach = (max(self.reach[0], int(most[:, 0].max())), max(self.reach[1], int(most[:, 1].max())))
        numbers = np.arange(self.count, self.count + len(nuclei)) + 1
        low, high = np.maximum(least, 0) // _SHARD_PX, np.maximum(most - 1, 0) // _SHARD_PX
        for col in range(int(low[:, 0].min()), int(high[:, 0].max()) + 1):
            for row in range(int(low[:, 1].min()), int(high[:, 1].max()) + 1):
                here = np.flatnonzero(((low <= (col, row)) & (high >= (col, row))).all(axis=1))
                if len(here):
                    self._keep(row, col, nuclei.take(here), xy, numbers[here], first[here])
        with (self.folder / "ids").open("ab") as file:
            file.write(self.context.ids(nuclei).tobytes())
        self.count += len(nuclei)

    def _keep(
        self,
        row: int,
        col: int,
        some: Nuclei,
        xy: NDArray[np.int32],
        numbers: NDArray[np.int64],
        first: NDArray[np.int64],
    ) -> None:
        vertices = np.diff(some.ring_offsets[some.polygon_offsets])
        starts = np.repeat(first - some.ring_offsets[some.polygon_offsets[:-1]], vertices)
        self.shards.add((row, col))
        with (self.folder / f"{row}.{col}").open("ab") as file:
            for array in (
                numbers,
                xy[starts + np.arange(len(starts))],
                some.ring_offsets,
                some.polygon_offsets,
            ):
                np.save(file, array, allow_pickle=False)

    def paint(self, shard: Tile) -> NDArray[np.int32]:
        """The label image of a shard, (row, col)."""
        labels = np.zeros(shard.core.size.shape_rc, np.int32)
        corner = np.array([shard.core.x0, shard.core.y0])
        path = self.folder / f"{shard.row}.{shard.col}"
        with path.open("rb") as file:
            while file.tell() < path.stat().st_size:
                numbers, xy, rings, polygons = (np.load(file, allow_pickle=False) for _ in range(4))
                paint_polygons(labels, (xy - corner).astype(np.float64), rings, polygons, numbers)
        return labels

    def ids(self) -> NDArray[np.uint8]:
        """The ids of all nuclei, (n, 16), mapped from disk."""
        if not self.count:
            return np.zeros((0, 16), np.uint8)
        return np.memmap(self.folder / "ids", np.uint8, "r", shape=(self.count, 16))


def _write(path: Path, waiting: _Waiting, extent: Size, context: ExportContext) -> None:
    sizes = _levels(extent)
    provenance = {
        "wsi_nucssl": {**context.header, "scale_l0": [context.transform.scale_x, context.transform.scale_y]}
    }
    image = zarr.create_group(path, attributes={"ome": _multiscales(sizes, context), **provenance})
    for number, size in enumerate(sizes):
        _array(image, number, size, "uint8", _GLASS)
    ids = image.create_array(
        "ids",
        shape=(waiting.count, 16),
        chunks=(_IDS_A_CHUNK, 16),
        dtype="uint8",
        compressors=[ZstdCodec(level=_ZSTD_LEVEL)],
    )
    for first in range(0, waiting.count, _IDS_A_CHUNK):
        ids[first : first + _IDS_A_CHUNK] = waiting.ids()[first : first + _IDS_A_CHUNK]
    image.create_group("labels", attributes={"ome": {"version": _VERSION, "labels": ["nuclei"]}})
    group = image.create_group(
        LABELS,
        attributes={"ome": {**_multiscales(sizes, context), "image-label": {"source": {"image": "../../"}}}},
    )
    levels = [_array(group, number, size, "int32", 0) for number, size in enumerate(sizes)]
    _fill(levels, sizes, waiting)


def _levels(extent: Size) -> list[Size]:
    """Of the level that is drawn and of each one of half its px, until one chunk holds all."""
    sizes = [extent]
    while max(sizes[-1].shape_rc) > _CHUNK_PX:
        sizes.append(Size(-(-sizes[-1].width // 2), -(-sizes[-1].height // 2)))
    return sizes


def _array(group: zarr.Group, number: int, size: Size, dtype: str, fill: int) -> zarr.Array[Any]:
    return group.create_array(
        str(number),
        shape=size.shape_rc,
        chunks=(_CHUNK_PX, _CHUNK_PX),
        shards=(_SHARD_PX, _SHARD_PX),
        dtype=dtype,
        fill_value=fill,
        compressors=[ZstdCodec(level=_ZSTD_LEVEL)],
        dimension_names=("y", "x"),
    )


def _fill(levels: list[zarr.Array[Any]], sizes: list[Size], waiting: _Waiting) -> None:
    """Draw the first level, shard by shard, and make each other level of the one before."""
    filled = waiting.shards
    for number, (array, size) in enumerate(zip(levels, sizes, strict=True)):
        if number:
            filled = {(row // 2, col // 2) for row, col in filled}
        grid = TileGrid(size, Size(_SHARD_PX, _SHARD_PX))
        for shard in grid:
            if (shard.row, shard.col) in filled:
                px = waiting.paint(shard) if not number else _halved(levels[number - 1], shard.core)
                array[shard.core.y0 : shard.core.y1, shard.core.x0 : shard.core.x1] = px


def _halved(finer: zarr.Array[Any], box: Box) -> NDArray[np.int32]:
    """Every second px of what lies under a box, counted from the slide's corner."""
    px = finer[2 * box.y0 : 2 * box.y1 : 2, 2 * box.x0 : 2 * box.x1 : 2]
    return cast("NDArray[np.int32]", px)


def _multiscales(sizes: list[Size], context: ExportContext) -> dict[str, Any]:
    """OME-Zarr 0.5 metadata of levels, in µm."""
    return {
        "version": _VERSION,
        "multiscales": [
            {
                "name": "nuclei",
                "axes": [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"],
                "datasets": [
                    {
                        "path": str(number),
                        "coordinateTransformations": [
                            {
                                "type": "scale",
                                "scale": [context.mpp.y * 2**number, context.mpp.x * 2**number],
                            }
                        ],
                    }
                    for number in range(len(sizes))
                ],
            }
        ],
    }


ZARR: Final = Exporter(_open, is_folder=True)
