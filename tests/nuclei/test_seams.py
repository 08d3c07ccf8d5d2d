"""Tiled equals untiled, exactly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.nuclei.scenes import configs, crowds, perfect, scenes, typed_scenes
from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Point, Size
from wsi_nucssl.nuclei.seams import Part, Read, extract_block, extract_nuclei
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.table import Nuclei


def rows(nuclei: Nuclei) -> dict[tuple[int, int], tuple[bytes, ...]]:
    """{anchor: bytes of rings, measurements and types}; an anchor may come once only."""
    table = {
        (int(x), int(y)): (
            *(ring.tobytes() for ring in nuclei.rings(index)),
            nuclei.measurements[index].tobytes(),
            nuclei.type_id[index].tobytes(),
            nuclei.type_probability[index].tobytes(),
        )
        for index, (x, y) in enumerate(nuclei.seed_xy)
    }
    assert len(table) == len(nuclei)
    return table


def blocks(extent: Box, width: int, height: int) -> list[Box]:
    return [
        Box(x, y, x + width, y + height).clip(extent)
        for y in range(extent.y0, extent.y1, height)
        for x in range(extent.x0, extent.x1, width)
    ]


def reader(scene: NDArray[np.uint8], extent: Box) -> Read:
    """Reads a scene that lies somewhere on the canvas, and only boxes inside of it."""

    def read(box: Box) -> NDArray[np.uint8]:
        assert extent.contains(box)
        return np.ascontiguousarray(scene[:, *box.relative_to(extent.origin).rc])

    return read


@settings(max_examples=200, deadline=None)
@given(st.one_of(scenes(), typed_scenes()), configs, st.data())
def test_tiled_equals_untiled(scene: NDArray[np.uint8], config: InstanceConfig, data: st.DataObject) -> None:
    extent = Box(0, 0, scene.shape[2], scene.shape[1]).shift(
        *data.draw(st.tuples(*[st.integers(0, 50_000)] * 2))
    )
    read = reader(scene, extent)
    cores = blocks(extent, data.draw(st.integers(5, 60)), data.draw(st.integers(5, 60)))
    halo, workers = data.draw(st.integers(1, 40)), data.draw(st.sampled_from([1, 2, 8]))
    with ThreadPoolExecutor(workers) as pool:
        tables = list(
            pool.map(lambda core: extract_block(read, core, extent, config, halo=halo, max_halo=400), cores)
        )
    tiled, whole = (
        Nuclei.concatenate(tables),
        extract_block(read, extent, extent, config, halo=1, max_halo=400),
    )
    assert rows(tiled) == rows(whole)
    assert not tiled.truncated.any()


@settings(max_examples=30, deadline=None)
@given(crowds(), st.integers(0, 5), st.integers(0, 6), st.integers(0, 6))
def test_crowds_do_not_feel_the_window(
    scene: NDArray[np.uint8], regrow_px: int, min_marker_px: int, min_area_px: int
) -> None:
    """Competitors that windows cut at every distance: all small blocks, a range of halos."""
    config = InstanceConfig(regrow_px=regrow_px, min_marker_px=min_marker_px, min_area_px=min_area_px)
    extent = Box(0, 0, scene.shape[2], scene.shape[1])
    whole = rows(extract_nuclei(scene, config))
    for halo in range(1, 15):
        tables = [
            extract_block(reader(scene, extent), core, extent, config, halo=halo, max_halo=100)
            for core in blocks(extent, 7, 7)
        ]
        assert rows(Nuclei.concatenate(tables)) == whole


@settings(max_examples=150, deadline=None)
@given(scenes(), configs, st.data())
def test_only_flagged_nuclei_differ_where_the_halo_is_capped(
    scene: NDArray[np.uint8], config: InstanceConfig, data: st.DataObject
) -> None:
    extent = Box(0, 0, scene.shape[2], scene.shape[1])
    cores = blocks(extent, data.draw(st.integers(5, 40)), data.draw(st.integers(5, 40)))
    least = config.reach_px + config.min_marker_px + config.min_area_px
    halo = data.draw(st.integers(1, least))
    tiled = Nuclei.concatenate(
        extract_block(reader(scene, extent), core, extent, config, halo=halo, max_halo=least)
        for core in cores
    )
    whole = rows(extract_nuclei(scene, config))
    found = rows(tiled)
    flagged = {(int(x), int(y)) for x, y in tiled.seed_xy[tiled.truncated]}
    assert {anchor: row for anchor, row in found.items() if anchor not in flagged}.items() <= whole.items()
    assert whole.keys() <= found.keys()


@settings(max_examples=150, deadline=None)
@given(scenes(), configs, st.data())
def test_a_part_of_a_block_gives_what_the_whole_block_gives(
    scene: NDArray[np.uint8], config: InstanceConfig, data: st.DataObject
) -> None:
    """The nuclei that are asked for, in their order and with their flags, those that the cap cuts too."""
    extent = Box(0, 0, scene.shape[2], scene.shape[1])
    least = config.reach_px + config.min_marker_px + config.min_area_px
    halo, max_halo = data.draw(st.integers(1, least)), least + data.draw(st.integers(0, 20))
    salt = data.draw(st.integers(0, 3))

    def holds(seed_xy: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray((7 * seed_xy[:, 0] + 13 * seed_xy[:, 1] + salt) % 4 > 0)

    for block in blocks(extent, data.draw(st.integers(5, 40)), data.draw(st.integers(5, 40))):
        whole = extract_block(reader(scene, extent), block, extent, config, halo=halo, max_halo=max_halo)
        x, y = (data.draw(st.integers(0, side - 1)) for side in (block.width, block.height))
        width, height = (data.draw(st.integers(1, side)) for side in (block.width - x, block.height - y))
        core = Box.at(Point(block.x0 + x, block.y0 + y), Size(width, height))
        part = extract_block(
            reader(scene, extent),
            core,
            extent,
            config,
            halo=halo,
            max_halo=max_halo,
            part=Part(block, holds),
        )
        low, high = [core.x0, core.y0], [core.x1, core.y1]
        in_core = ((whole.seed_xy >= low) & (whole.seed_xy < high)).all(axis=1)
        wanted = whole.take(np.flatnonzero(in_core & holds(whole.seed_xy)))
        assert [*rows(part).items()] == [*rows(wanted).items()]
        assert part.truncated.tolist() == wanted.truncated.tolist()


def test_a_nucleus_across_four_blocks_is_found_once_and_whole() -> None:
    nucleus = np.zeros((40, 40), bool)
    nucleus[12:28, 12:28] = True
    scene, extent = perfect(nucleus, nucleus), Box(0, 0, 40, 40)
    sizes = [
        len(extract_block(reader(scene, extent), core, extent, InstanceConfig(), halo=4, max_halo=64))
        for core in blocks(extent, 20, 20)
    ]
    assert sizes == [1, 0, 0, 0]


def test_past_the_cap_a_nucleus_is_kept_and_flagged() -> None:
    band = np.zeros((20, 300), bool)
    band[5:15] = True
    scene, extent = perfect(band, band), Box(0, 0, 300, 20)
    nuclei = extract_block(
        reader(scene, extent), Box(0, 0, 50, 20), extent, InstanceConfig(), halo=8, max_halo=64
    )
    assert nuclei.truncated.tolist() == [True]
    assert nuclei.ring_xy[:, 0].max() == 114


@pytest.mark.parametrize(
    ("core", "halo", "max_halo"),
    [
        (Box(0, 0, 101, 10), 10, 64),
        (Box(5, 5, 5, 10), 10, 64),
        (Box(0, 0, 10, 10), 0, 64),
        (Box(0, 0, 10, 10), 65, 64),
        (Box(0, 0, 10, 10), 10, 20),
    ],
)
def test_impossible_blocks_are_refused(core: Box, halo: int, max_halo: int) -> None:
    scene, extent = np.zeros((3, 100, 100), np.uint8), Box(0, 0, 100, 100)
    with pytest.raises(UsageError):
        extract_block(reader(scene, extent), core, extent, InstanceConfig(), halo=halo, max_halo=max_halo)
