"""Blended windows against the definition in plain loops; nothing shows which box was read, in which order, by whom."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import floor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Point, Size
from wsi_nucssl.grid import TileGrid
from wsi_nucssl.nuclei.seams import extract_block, extract_nuclei
from wsi_nucssl.nuclei.settings import InstanceConfig, Probabilities
from wsi_nucssl.nuclei.stain import hematoxylin_od
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.segment.blending import blended, keep_window
from wsi_nucssl.segment.probabilities import NotPredicted, ProbabilityStore
from wsi_nucssl.segment.windows import WindowGrid, repeat_px

Place = tuple[int, int]
CONFIG = InstanceConfig(regrow_px=2, min_marker_px=2, min_area_px=4)


@dataclass(frozen=True)
class Scene:
    """A grid, and of the selected windows what is kept: rough pictures of the same thing, each with its own errors."""

    grid: WindowGrid
    windows: dict[Place, Probabilities]

    @property
    def box(self) -> Box:
        return Box(0, 0, self.grid.extent.width, self.grid.extent.height)

    def read(self, box: Box) -> Probabilities:
        return blended(self.grid, box, lambda tile: self.windows.get((tile.row, tile.col)))


@st.composite
def scenes(draw: st.DrawFn, most: int = 60) -> Scene:
    blend = draw(st.integers(0, 5))
    sides = st.integers(max(2 * blend, 4), 24)
    extent = Size(draw(st.integers(1, most)), draw(st.integers(1, most)))
    offset = Point(draw(st.integers(0, 9)), draw(st.integers(0, 9)))
    grid = WindowGrid(extent, Size(draw(sides), draw(sides)), blend + 2, offset, blend=blend)
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    selected = draw(st.sampled_from([1.0, 0.8, 0.4]))
    picture = rng.integers(0, 256, (1 + extent.height // 6, 1 + extent.width // 6)).repeat(6, 0).repeat(6, 1)
    windows = {}
    for tile in grid:
        if rng.random() > selected:
            continue
        pixels = rng.integers(0, 256, (*grid.input_shape.shape_rc, 3), np.uint8)
        predicted = rng.integers(-60, 60, (2, *grid.shape.shape_rc))
        inside = tile.read.clip(Box(0, 0, extent.width, extent.height))
        predicted[:, *inside.relative_to(tile.read.origin).rc] += picture[inside.rc]
        kept = keep_window(grid, tile, pixels, np.clip(predicted, 0, 255).astype(np.uint8))
        windows[tile.row, tile.col] = kept
    return Scene(grid, windows)


def weight(place: int, start: int, stop: int, extent: int, blend: int) -> int:
    """4 blend, but in steps of two from 1 where a neighbour shares."""
    whole = 4 * blend
    if start > 0 and place < start + blend:
        whole = min(whole, max(0, 2 * (place - (start - blend)) + 1))
    if stop < extent and place >= stop - blend:
        whole = min(whole, max(0, 2 * (stop + blend - place) - 1))
    return whole


def by_definition(scene: Scene) -> Probabilities:
    grid, extent = scene.grid, scene.grid.extent
    out = np.zeros((3, *extent.shape_rc), np.uint8)
    for y in range(extent.height):
        for x in range(extent.width):
            owner = grid.owner(Point(x, y))
            if (owner.row, owner.col) not in scene.windows:
                continue
            total, weights = np.zeros(2, int), 0
            for place, planes in scene.windows.items():
                tile = grid.at(*place)
                kept = grid.kept(tile)
                if Point(x, y) not in kept:
                    continue
                w = weight(y, tile.core.y0, tile.core.y1, extent.height, grid.blend)
                w *= weight(x, tile.core.x0, tile.core.x1, extent.width, grid.blend)
                w = w if grid.blend else int(tile == owner)
                total += w * planes[:2, y - kept.y0, x - kept.x0].astype(int)
                weights += w
            out[:2, y, x] = [floor(value / weights + 0.5) for value in total]
            own = scene.windows[owner.row, owner.col]
            out[2, y, x] = own[2, y - grid.kept(owner).y0, x - grid.kept(owner).x0]
    return out


@settings(max_examples=60, deadline=None)
@given(scenes(most=30))
def test_against_the_definition(scene: Scene) -> None:
    assert np.array_equal(scene.read(scene.box), by_definition(scene))


@settings(max_examples=100, deadline=None)
@given(scenes(), st.data())
def test_a_px_does_not_know_the_box_that_reads_it(scene: Scene, data: st.DataObject) -> None:
    whole = scene.read(scene.box)
    for _ in range(5):
        x0, x1 = sorted(data.draw(st.tuples(*[st.integers(0, scene.box.x1)] * 2)))
        y0, y1 = sorted(data.draw(st.tuples(*[st.integers(0, scene.box.y1)] * 2)))
        box = Box(x0, y0, x1, y1)
        assert np.array_equal(scene.read(box), whole[:, *box.rc])


@settings(max_examples=60, deadline=None)
@given(scenes())
def test_where_windows_agree_nothing_changes(scene: Scene) -> None:
    """The weights of those that are there add up to one."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (2, *scene.grid.extent.shape_rc), np.uint8)
    for place, planes in scene.windows.items():
        kept = scene.grid.kept(scene.grid.at(*place))
        inside = kept.clip(scene.box)
        planes[:2, *inside.relative_to(kept.origin).rc] = picture[:, *inside.rc]
    expected = np.zeros_like(picture)
    for place in scene.windows:
        core = scene.grid.at(*place).core
        expected[:, *core.rc] = picture[:, *core.rc]
    assert np.array_equal(scene.read(scene.box)[:2], expected)


@contextmanager
def stored(scene: Scene) -> Iterator[ProbabilityStore]:
    """A store for the windows of a scene, with nothing in it."""
    grid = scene.grid
    selected = tuple(tile for tile in grid if (tile.row, tile.col) in scene.windows)
    with tempfile.TemporaryDirectory() as folder:
        yield ProbabilityStore(Path(folder) / "w.zarr", grid, selected)


def rows(nuclei: Nuclei) -> list[tuple[bytes, ...]]:
    measured = zip(nuclei.measurements, nuclei.truncated, strict=True)
    rings = (b"".join(ring.tobytes() for ring in nuclei.rings(i)) for i in range(len(nuclei)))
    return sorted((r, m.tobytes(), t.tobytes()) for r, (m, t) in zip(rings, measured, strict=True))


@pytest.mark.parametrize("workers", [1, 2, 8])
@settings(max_examples=25, deadline=None)
@given(scenes(), st.integers(5, 40), st.integers(5, 40), st.randoms(use_true_random=False))
def test_tiled_equals_untiled_out_of_a_store(
    workers: int, scene: Scene, width: int, height: int, chance: object
) -> None:
    """Windows written in any order, blocks of any size read by any number of threads."""
    blocks = list(TileGrid(scene.grid.extent, Size(width, height)))
    chance.shuffle(blocks)  # type: ignore[attr-defined]
    places = list(scene.windows)
    chance.shuffle(places)  # type: ignore[attr-defined]
    with stored(scene) as store, ThreadPoolExecutor(workers) as pool:
        for place in places:
            store.write(scene.grid.at(*place), scene.windows[place])
        found = pool.map(
            lambda block: extract_block(store.read, block.core, scene.box, CONFIG, halo=8, max_halo=64),
            blocks,
        )
        tables = list(found)
    assert rows(Nuclei.concatenate(tables)) == rows(extract_nuclei(scene.read(scene.box), CONFIG))


@settings(max_examples=40, deadline=None)
@given(scenes(), st.data())
def test_a_box_waits_for_every_window_that_has_a_say(scene: Scene, data: st.DataObject) -> None:
    x0, x1 = sorted(data.draw(st.tuples(*[st.integers(0, scene.box.x1)] * 2)))
    y0, y1 = sorted(data.draw(st.tuples(*[st.integers(0, scene.box.y1)] * 2)))
    box = Box(x0, y0, x1, y1)
    needed: set[Place] = set()

    def note(place: Place) -> Probabilities | None:
        if place in scene.windows:
            needed.add(place)
        return scene.windows.get(place)

    expected = blended(scene.grid, box, lambda tile: note((tile.row, tile.col)))
    with stored(scene) as store:
        for place in scene.windows:
            if needed & {(tile.row, tile.col) for tile in store.missing()}:
                assert not store.has(box)
                with pytest.raises(NotPredicted):
                    store.read(box)
            store.write(scene.grid.at(*place), scene.windows[place])
        assert store.has(box)
        assert np.array_equal(store.read(box), expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 80), st.integers(1, 80), st.sampled_from([1, 2]))
def test_what_is_kept_of_a_window(width: int, height: int, upscale: int) -> None:
    grid = WindowGrid(Size(width, height), Size(32, 24), 8, upscale=upscale, blend=5)
    rng = np.random.default_rng(width)
    whole = Box(0, 0, width, height)
    for tile in grid:
        pixels = rng.integers(0, 256, (*grid.input_shape.shape_rc, 3), np.uint8)
        predicted = rng.integers(1, 256, (2, *grid.shape.shape_rc), np.uint8)
        planes = keep_window(grid, tile, pixels, predicted)
        kept, origin = grid.kept(tile), tile.read.origin
        assert planes.shape == (3, 24 + 10, 32 + 10)
        inside = kept.clip(whole)
        body = planes[:2, *inside.relative_to(kept.origin).rc]
        assert np.array_equal(body, predicted[:, *inside.relative_to(origin).rc])
        assert np.count_nonzero(planes[:2]) == 2 * inside.size.area
        stain = repeat_px(hematoxylin_od(pixels), upscale)[tile.core.relative_to(origin).rc]
        assert np.array_equal(planes[2, *tile.core.relative_to(kept.origin).rc], stain)
        assert np.count_nonzero(planes[2]) == np.count_nonzero(stain)


def test_blending_takes_at_most_the_margin_and_half_a_core() -> None:
    for tile, margin in ((Size(20, 40), 30), (Size(40, 20), 30), (Size(40, 40), 10)):
        with pytest.raises(UsageError, match="at most the margin"):
            WindowGrid(Size(90, 90), tile, margin, blend=11)
        whole = WindowGrid(Size(90, 90), tile, margin, blend=10)
        assert whole.kept_size == Size(tile.width + 20, tile.height + 20)
        with pytest.raises(UsageError, match="at most the margin"):
            replace(whole, blend=-1)
    narrow = WindowGrid(Size(5, 90), Size(5, 40), 12, blend=11)
    assert (narrow.cols, narrow.rows) == (1, 3)
