"""The grid's promises: cores partition the extent, one owner a point, overlapping() misses nothing."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Point, Size
from wsi_nucssl.grid import TileGrid

sides = st.integers(1, 17)
grids = st.builds(
    TileGrid,
    extent=st.builds(Size, st.integers(0, 40), st.integers(0, 40)),
    tile=st.builds(Size, sides, sides),
    margin=st.integers(0, 5),
    offset=st.builds(Point, st.integers(-50, 50), st.integers(-50, 50)),
)


@given(grids)
def test_cores_partition_the_extent(grid: TileGrid) -> None:
    covered = np.zeros(grid.extent.shape_rc, int)
    for tile in grid:
        assert not tile.core.is_empty
        assert tile.read == tile.core.grow(grid.margin)
        covered[tile.core.rc] += 1
    assert (covered == 1).all()


@given(grids)
def test_tiles_come_in_raster_order_and_len_counts_them(grid: TileGrid) -> None:
    places = [(tile.row, tile.col) for tile in grid]
    assert places == sorted(set(places))
    assert len(places) == len(grid)


@given(grids, st.data())
def test_every_point_has_one_owner(grid: TileGrid, data: st.DataObject) -> None:
    if not grid.extent.area:
        return
    point = Point(
        data.draw(st.integers(0, grid.extent.width - 1)), data.draw(st.integers(0, grid.extent.height - 1))
    )
    assert [grid.owner(point)] == [tile for tile in grid if point in tile.core]


@given(grids, st.tuples(*[st.integers(-20, 60)] * 4))
def test_overlapping_is_exact(grid: TileGrid, sides: tuple[int, int, int, int]) -> None:
    x0, x1 = sorted(sides[:2])
    y0, y1 = sorted(sides[2:])
    box = Box(x0, y0, x1, y1)
    assert list(grid.overlapping(box)) == [tile for tile in grid if tile.core.overlaps(box)]


@given(grids)
def test_grid_lines_pass_through_the_offset(grid: TileGrid) -> None:
    for tile in grid:
        assert tile.core.x0 == 0 or (tile.core.x0 - grid.offset.x) % grid.tile.width == 0
        assert tile.core.y0 == 0 or (tile.core.y0 - grid.offset.y) % grid.tile.height == 0


def test_outside_is_refused() -> None:
    grid = TileGrid(Size(10, 10), Size(5, 5))
    with pytest.raises(IndexError):
        grid.owner(Point(10, 0))
    with pytest.raises(IndexError):
        grid.at(2, 0)


@pytest.mark.parametrize("broken", [{"tile": Size(0, 5)}, {"tile": Size(5, 5), "margin": -1}])
def test_impossible_grids_are_usage_errors(broken: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        TileGrid(extent=Size(10, 10), **broken)
