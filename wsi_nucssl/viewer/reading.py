"""Tiles that `tiling` wrote, read back as polygons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
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
        ends = np.append(0, np.cumsum(np.abs(vertices)))
        firsts = np.append(0, np.cumsum(rings))
        found = [_polygon(xy, ends, vertices, a, b) for a, b in pairwise(firsts.tolist())]
        return np.array(found, dtype=object)


def _polygon(
    xy: NDArray[np.float64], ends: NDArray[np.int64], vertices: NDArray[np.int64], first: int, last: int
) -> Any:
    """One nucleus of rings; one of too few vertices is empty."""
    shape = shapely.Polygon()
    for ring in range(first, last):
        points = xy[ends[ring] : ends[ring + 1]]
        if len(points) < 3:
            continue
        part = shapely.make_valid(shapely.Polygon(points))
        shape = shape.union(part) if vertices[ring] > 0 else shape.difference(part)
    return shape
