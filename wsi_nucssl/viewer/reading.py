"""Tiles that `tiling` wrote, read back as polygons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray

from wsi_nucssl.viewer.tiling import INDEX, TILE_PX, tile_file


@dataclass(frozen=True, slots=True)
class TiledNuclei:
    """A folder of tiles.

    Attributes
    ----------
    folder : Path
        That of the tiles.
    index : mapping of str to object
        What its index says.
    """

    folder: Path
    index: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> TiledNuclei:
        """A folder that `tiling.write_tiles` filled."""
        return cls(folder, orjson.loads((folder / INDEX).read_bytes()))

    def __len__(self) -> int:
        return int(self.index["count"])

    @property
    def tiles(self) -> dict[tuple[int, int], range]:
        """The nuclei of each tile by (row, col)."""
        return {(row, col): range(first, first + n) for row, col, first, n, _ in self.index["tiles"]}

    def outlines(self, row: int, col: int) -> NDArray[np.object_]:
        """The nuclei of a tile as shapely polygons in level-0 px, (n,), all valid."""
        data = (self.folder / tile_file(row, col)).read_bytes()
        n, r, m, columns = np.frombuffer(data, "<u4", 4).tolist()
        step = float(np.frombuffer(data, "<f4", 1, 16)[0])
        at = 20 + 4 * n * columns
        rings = np.frombuffer(data, "<u4", n, at).astype(np.int64)
        vertices = np.frombuffer(data, "<i4", r, at + 4 * n).astype(np.int64)
        steps = np.frombuffer(data, "<i2", 2 * m, at + 4 * (n + r)).reshape(-1, 2)
        xy = steps * step + np.array([col, row]) * float(TILE_PX)
        shapes = _polygons(xy, vertices, rings)
        wrong = ~shapely.is_valid(shapes)
        shapes[wrong] = shapely.make_valid(shapes[wrong])
        return shapes


def _polygons(
    xy: NDArray[np.float64], vertices: NDArray[np.int64], rings: NDArray[np.int64]
) -> NDArray[np.object_]:
    """Nuclei from rings: each that is no hole begins a polygon, and a nucleus may have several."""
    ends = np.append(0, np.cumsum(np.abs(vertices)))
    closed = xy[np.insert(np.arange(len(xy)), ends[1:], ends[:-1])]
    outer = np.flatnonzero(vertices > 0)
    offsets = ends + np.arange(len(ends)), np.append(outer, len(vertices))
    parts = shapely.from_ragged_array(shapely.GeometryType.POLYGON, closed, offsets)
    owners = np.arange(len(rings)).repeat(rings)[outer]
    shapes: NDArray[np.object_] = (
        parts if len(parts) == len(rings) else shapely.multipolygons(parts, indices=owners)
    )
    return shapes
