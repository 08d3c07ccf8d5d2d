"""How an extent is cut into tiles: each pixel has one owner, and a tile may read more than it owns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Point, Size

ORIGIN = Point(0, 0)


@dataclass(frozen=True, slots=True)
class Tile:
    """One cell of a grid.

    Attributes
    ----------
    row, col : int
        Place in the grid.
    core : Box
        The pixels this tile owns, clipped to the extent.
    read : Box
        The core and its margin; may leave the extent.
    """

    row: int
    col: int
    core: Box
    read: Box


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Tiles of `tile` px over [0, width) × [0, height), in raster order. Their cores partition the extent.

    Parameters
    ----------
    extent : Size
        Size of what is cut up.
    tile : Size
        Size of a whole core; those at the border may be smaller.
    margin : int
        Pixels read around each core and discarded later.
    offset : Point
        A point where grid lines cross; (0, 0) puts whole tiles from the top left corner on.
    """

    extent: Size
    tile: Size
    margin: int = 0
    offset: Point = ORIGIN

    def __post_init__(self) -> None:
        if self.tile.area == 0:
            raise UsageError(f"a tile must hold a pixel, not {self.tile}")
        if self.margin < 0:
            raise UsageError(f"a margin cannot be negative: {self.margin}")

    @property
    def rows(self) -> int:
        """Number of tile rows."""
        return _count(self.extent.height, self.tile.height, self._first.y)

    @property
    def cols(self) -> int:
        """Number of tile columns."""
        return _count(self.extent.width, self.tile.width, self._first.x)

    def at(self, row: int, col: int) -> Tile:
        """The tile of that row and column.

        Raises
        ------
        IndexError
            The grid has no such tile.
        """
        if not (0 <= row < self.rows and 0 <= col < self.cols):
            raise IndexError(f"no tile ({row}, {col}) in a grid of {self.rows} × {self.cols}")
        origin = Point(self._first.x + col * self.tile.width, self._first.y + row * self.tile.height)
        core = Box.at(origin, self.tile).clip(Box.at(ORIGIN, self.extent))
        return Tile(row, col, core, core.grow(self.margin))

    def owner(self, point: Point) -> Tile:
        """The one tile whose core holds `point`.

        Raises
        ------
        IndexError
            The point lies outside the extent.
        """
        if point not in Box.at(ORIGIN, self.extent):
            raise IndexError(f"({point.x}, {point.y}) lies outside {self.extent}")
        return self.at(self._row(point.y), self._col(point.x))

    def overlapping(self, box: Box) -> Iterator[Tile]:
        """The tiles whose core shares a pixel with `box`, in raster order."""
        inside = box.clip(Box.at(ORIGIN, self.extent))
        if inside.is_empty:
            return
        for row in range(self._row(inside.y0), self._row(inside.y1 - 1) + 1):
            for col in range(self._col(inside.x0), self._col(inside.x1 - 1) + 1):
                yield self.at(row, col)

    def __len__(self) -> int:
        return self.rows * self.cols

    def __iter__(self) -> Iterator[Tile]:
        for row in range(self.rows):
            for col in range(self.cols):
                yield self.at(row, col)

    @property
    def _first(self) -> Point:
        """Top left corner of the first, possibly cut, tile: in (-tile, 0]."""
        return Point(-(-self.offset.x % self.tile.width), -(-self.offset.y % self.tile.height))

    def _row(self, y: int) -> int:
        return (y - self._first.y) // self.tile.height

    def _col(self, x: int) -> int:
        return (x - self._first.x) // self.tile.width


def _count(extent: int, tile: int, first: int) -> int:
    return -(-(extent - first) // tile) if extent else 0
