"""What a store of windows says of them to others: what is there, what has a say where, and what was lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.segment import fakes
from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.grid import Tile, TileGrid
from wsi_nucssl.nuclei.settings import Probabilities
from wsi_nucssl.schema import UNTYPED
from wsi_nucssl.segment.on_demand import WindowsOnDemand
from wsi_nucssl.segment.plan import Plan
from wsi_nucssl.segment.probabilities import NotPredicted, ProbabilityStore, WindowLost, write_canvas
from wsi_nucssl.segment.windows import WindowGrid, window_grid

GRID = WindowGrid(Size(50, 30), Size(20, 10), 6, blend=4)
"""Three rows of three windows, the last column of which is cut."""
Place = tuple[int, int]


def planes_of(tile: Tile) -> Probabilities:
    rng = np.random.default_rng(10 * tile.row + tile.col)
    return rng.integers(0, 256, (3, *GRID.kept_size.shape_rc), np.uint8)


def store_of(
    path: Path, places: Sequence[Place] = (), reserve: Sequence[Place] = (), *, recent: int = 32
) -> ProbabilityStore:
    """A store of which all windows are selected but those in reserve, with some of them in it."""
    selected = [tile for tile in GRID if (tile.row, tile.col) not in reserve]
    spare = [GRID.at(*place) for place in reserve]
    store = ProbabilityStore(path, GRID, selected, reserve=spare, recent=recent)
    for place in places:
        store.write(GRID.at(*place), planes_of(GRID.at(*place)))
    return store


def near(box: Box) -> set[Place]:
    """The windows that keep a px of a box, one by one."""
    return {(tile.row, tile.col) for tile in GRID if not GRID.kept(tile).clip(box).is_empty}


@pytest.mark.parametrize(
    "box", [Box(0, 0, 16, 6), Box(0, 0, 17, 6), Box(15, 5, 16, 7), Box(24, 14, 36, 16), Box(24, 13, 25, 14)]
)
def test_a_store_tells_another_what_has_a_say_in_a_box_and_is_there(tmp_path: Path, box: Box) -> None:
    written: list[Place] = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)]
    store = store_of(tmp_path / "w.zarr", written)
    assert {(tile.row, tile.col) for tile in store.near(box)} == near(box)
    assert {(tile.row, tile.col) for tile in store.absent(box)} == near(box) - {*written}
    assert {*store.noted(box)} == near(box) & {*written}
    other = ProbabilityStore(tmp_path / "w.zarr", GRID, ())
    assert other.near(box) == ()
    other.learn(store.near(box), store.noted(box))
    assert other.noted(box) == store.noted(box)
    if near(box) <= {*written}:
        assert np.array_equal(other.read(box), store.read(box))
    else:
        with pytest.raises(NotPredicted) as error:
            other.read(box)
        assert {(tile.row, tile.col) for tile in error.value.absent} == near(box) - {*written}


def test_windows_whose_bytes_are_not_those_that_were_noted_are_unlearnt(tmp_path: Path) -> None:
    places: list[Place] = [(0, 0), (0, 1), (1, 1), (2, 2)]
    store = store_of(tmp_path / "w.zarr", places, recent=0)
    chunks = {place: tmp_path / "w.zarr" / "c" / f"{place[0]}" / f"{place[1]}" / "0/0/0" for place in places}
    chunks[0, 1].unlink()
    chunks[1, 1].write_bytes(chunks[2, 2].read_bytes())
    for place in ((0, 1), (1, 1)):
        with pytest.raises(WindowLost, match="gone"):
            store.read(GRID.at(*place).core)
    assert store.unlearn_lost([*places, (2, 0)]) == [(0, 1), (1, 1), (2, 0)]
    assert {*store.noted(Box(0, 0, 50, 30))} == {(0, 0), (2, 2)}
    again = ProbabilityStore.resume(tmp_path / "w.zarr", GRID, [*GRID])
    assert [(tile.row, tile.col) for tile in again.missing()] == [
        (tile.row, tile.col) for tile in GRID if (tile.row, tile.col) not in ((0, 0), (2, 2))
    ]
    assert not chunks[1, 1].exists()
    assert [(tile.row, tile.col) for tile in again.forget([(0, 0), (1, 2)])] == [(0, 0)]
    assert not chunks[0, 0].exists()
    assert chunks[2, 2].exists()
    assert {*again.noted(Box(0, 0, 50, 30))} == {(2, 2)}


def test_what_stayed_in_reserve_is_background_in_the_canvas(tmp_path: Path) -> None:
    reserve: list[Place] = [(1, 1), (1, 2)]
    every: list[Place] = [(tile.row, tile.col) for tile in GRID if (tile.row, tile.col) != (1, 2)]
    store = store_of(tmp_path / "w.zarr", every, reserve)
    whole = Box(0, 0, 50, 30)
    assert store.missing() == []
    assert not store.has(whole)
    write_canvas(store, tmp_path / "canvas.zarr")
    array = zarr.open_array(tmp_path / "canvas.zarr", mode="r")
    assert (array.shape, array.chunks, array.attrs["planes"]) == ((3, 30, 50), (3, 10, 20), [*UNTYPED.stored])
    selected = [GRID.at(*place) for place in every]
    alone = ProbabilityStore(tmp_path / "alone.zarr", GRID, selected)
    for tile in selected:
        alone.write(tile, planes_of(tile))
    assert np.array_equal(array[:], alone.read(whole))
    assert (np.asarray(array[:, 10:20, 40:]) == 0).all()


@pytest.mark.parametrize("recent", [0, 1, 32])
def test_what_is_read_again_is_what_was_written(tmp_path: Path, recent: int) -> None:
    places: list[Place] = [(tile.row, tile.col) for tile in GRID]
    first = store_of(tmp_path / "w.zarr", places, recent=recent)
    again = ProbabilityStore.resume(tmp_path / "w.zarr", GRID, [*GRID], recent=recent)
    for tile in GRID:
        own = planes_of(tile)[2, *tile.core.relative_to(GRID.kept(tile).origin).rc]
        for store in (first, again, first):
            assert np.array_equal(store.read(tile.core)[2], own)


@pytest.mark.parametrize("recent", [0, 1, 2, 5, 9])
def test_as_many_windows_are_remembered_as_is_said(tmp_path: Path, recent: int) -> None:
    """The others are read again, from where they are not any more."""
    store = store_of(tmp_path / "w.zarr", [(tile.row, tile.col) for tile in GRID], recent=recent)
    shutil.rmtree(tmp_path / "w.zarr" / "c")
    there = []
    for tile in GRID:
        inner = Box(tile.core.x0 + 4, tile.core.y0 + 4, tile.core.x0 + 5, tile.core.y0 + 5)  # nobody else's
        try:
            store.read(inner)
        except WindowLost:
            continue
        there.append(3 * tile.row + tile.col)
    assert there == list(range(9))[9 - recent :]


class Counting(fakes.DarkIsNucleus):
    """Counts the windows that it is shown."""

    def predict(self, windows: Windows) -> BodyBoundary:
        shown.append(len(windows))
        return fakes.DarkIsNucleus.predict(self, windows)


shown: list[int] = []


@pytest.fixture
def on_demand() -> Callable[..., tuple[WindowsOnDemand, list[int]]]:
    """Windows of 3 × 3 on a slide of noise, in memory, and how many were told of after each batch."""

    def begin(selected: Callable[[Tile], bool] = lambda _: True) -> tuple[WindowsOnDemand, list[int]]:
        extent = Size(480, 480)
        grid = window_grid(extent, 32, 160, blend=16)
        tiles = tuple(tile for tile in grid if selected(tile))
        blocks = TileGrid(extent, extent)
        plan = Plan(extent, 1.0, 1.0, grid, tiles[:-1], blocks, tuple(blocks), reserve=tiles[-1:])
        image = np.random.default_rng(0).integers(90, 200, (480, 480, 3), np.uint8)
        told: list[int] = []
        shown.clear()
        windows = WindowsOnDemand(
            lambda box: image[box.rc], plan, Counting(), 2, 1, lambda count: told.append(count), UNTYPED
        )
        return windows, told

    return begin


def test_windows_are_predicted_once_where_they_have_a_say_and_counted_after_each_batch(
    on_demand: Callable[..., tuple[WindowsOnDemand, list[int]]],
) -> None:
    windows, told = on_demand()
    inner = windows.read(Box(0, 0, 144, 144))
    assert (told, sum(shown)) == ([1], 2)  # a batch of one shape, of which one is a window
    whole = windows.read(Box(0, 0, 480, 480))
    assert told == [1, 3, 5, 7, 9]
    assert np.array_equal(whole[:, :144, :144], inner)
    assert np.array_equal(windows.read(Box(100, 90, 400, 333)), whole[:, 90:333, 100:400])
    assert told[-1] == 9
    assert (whole[2] > 0).any()


def test_where_no_window_is_selected_there_is_background(
    on_demand: Callable[..., tuple[WindowsOnDemand, list[int]]],
) -> None:
    windows, told = on_demand(lambda tile: tile.row > 0)
    planes = windows.read(Box(0, 0, 480, 200))
    assert told[-1] == 3
    assert (planes[:, :160] == 0).all()
    assert (planes[2, 160:] > 0).any()


@pytest.mark.parametrize(("y", "again"), [(176, 0), (177, 3), (336, 3), (337, 6)])
def test_windows_that_lie_above_are_forgotten_with_what_is_blended(
    on_demand: Callable[..., tuple[WindowsOnDemand, list[int]]], y: int, again: int
) -> None:
    """The first row's core ends at 160, and 16 px more of it are kept."""
    windows, told = on_demand()
    windows.read(Box(0, 0, 480, 480))
    windows.forget_above(y)
    windows.read(Box(0, 0, 480, 480))
    assert told[-1] == 9 + again
