from __future__ import annotations

import contextlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from wsi_nucssl.errors import InputError, MissingMpp, UsageError
from wsi_nucssl.geometry import Box, Mpp, Point, Size
from wsi_nucssl.pretext.groups import SlideGroup, TileSettings, tile_boxes
from wsi_nucssl.pretext.slide_pool import SlidePool
from wsi_nucssl.pretext.sources import TileSource, open_source
from wsi_nucssl.slide import open_slide, tissue_mask, write_tissue
from wsi_nucssl.tiles.ingest import TileConfig, ingest

SMALL = TileSettings(tile_px=128)


class Numbered:
    """Tiles whose pixels say which group and tile they are."""

    tile_px = 130

    def __init__(self, name: int, count: int) -> None:
        self.path, self.identity, self._name, self._count = Path(str(name)), str(name), name, count

    def __len__(self) -> int:
        return self._count

    def read(self, index: int) -> NDArray[np.uint8]:
        return np.full((130, 150, 3), (self._name, index, 0), np.uint8)


def labels(source: TileSource, numbers: range) -> list[tuple[int, int]]:
    return [(int(tile[0, 0, 0]), int(tile[0, 0, 1])) for tile in map(source.tile, numbers)]


def write_images(folder: Path, sizes: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    for number, (rows, cols) in enumerate(sizes):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 256, (rows, cols, 3), np.uint8))


class TestSequence:
    groups = (Numbered(1, 5), Numbered(2, 3), Numbered(3, 1))

    def test_groups_come_equally_often_and_so_do_a_groups_tiles(self) -> None:
        seen = labels(TileSource(self.groups, 0), range(3 * 15))
        assert Counter(group for group, _ in seen) == {1: 15, 2: 15, 3: 15}
        counts = Counter(seen)
        assert all(counts[1, tile] == 3 for tile in range(5))
        assert all(counts[2, tile] == 5 for tile in range(3))

    def test_each_round_shows_every_group_once(self) -> None:
        seen = labels(TileSource(self.groups, 0), range(30))
        assert all({group for group, _ in seen[i : i + 3]} == {1, 2, 3} for i in range(0, 30, 3))

    @given(st.integers(0, 2**31), st.integers(0, 10**9))
    def test_a_tile_is_a_function_of_seed_and_number(self, seed: int, number: int) -> None:
        first, second = (TileSource(self.groups, seed).tile(number) for _ in range(2))
        assert np.array_equal(first, second)

    def test_any_number_of_threads_gives_the_same_tiles(self) -> None:
        source = TileSource(self.groups, 4)
        with ThreadPoolExecutor(8) as pool:
            threaded = [tile.tolist() for tile in pool.map(source.tile, range(24))]
        assert threaded == [source.tile(number).tolist() for number in range(24)]

    def test_another_seed_gives_another_order(self) -> None:
        assert labels(TileSource(self.groups, 0), range(30)) != labels(TileSource(self.groups, 1), range(30))

    def test_tiles_are_square(self) -> None:
        assert TileSource(self.groups, 0).tile(0).shape == (130, 130, 3)

    def test_groups_without_a_tile_are_named_and_left_out(self) -> None:
        source = TileSource([*self.groups, Numbered(9, 0)], 0)
        assert source.empty == (Path("9"),)
        assert source.tiles == 9


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(125, 1200))
def test_tiles_are_whole_inside_and_cover_the_extent(width: int, height: int, tile_px: int) -> None:
    boxes = tile_boxes(Size(width, height), tile_px)
    if min(width, height) < 125:
        assert boxes == []
        return
    side = min(tile_px, width, height)
    whole = Box.at(Point(0, 0), Size(width, height))
    assert all(whole.contains(box) and box.size == Size(side, side) for box in boxes)
    assert len(set(boxes)) == len(boxes)
    assert {x for box in boxes for x in (box.x0, box.x1)} >= {0, width}
    assert {y for box in boxes for y in (box.y0, box.y1)} >= {0, height}
    assert sum(box.size.area for box in boxes) >= whole.size.area


class TestFolder:
    def test_each_image_is_a_group_and_smaller_ones_give_smaller_tiles(self, tmp_path: Path) -> None:
        write_images(tmp_path, [(128, 128), (300, 300), (126, 200)])
        (tmp_path / "notes.txt").write_text("not an image")
        with open_source([tmp_path], SMALL) as source:
            assert [len(group) for group in source.groups] == [1, 9, 2]
            assert {source.tile(number).shape[0] for number in range(9)} == {126, 128}

    def test_pixels_are_the_images_own(self, tmp_path: Path) -> None:
        write_images(tmp_path, [(128, 128)])
        with open_source([tmp_path / "0.png"], SMALL) as source:
            written = cv2.imread(str(tmp_path / "0.png"))
            assert written is not None
            assert np.array_equal(source.tile(0), written[..., ::-1])

    def test_an_image_too_small_is_named(self, tmp_path: Path) -> None:
        write_images(tmp_path, [(128, 128), (40, 40)])
        with open_source([tmp_path], SMALL) as source:
            assert source.empty == (tmp_path / "1.png",)

    def test_folders_in_folders_are_searched_and_annotations_left_out(self, tmp_path: Path) -> None:
        for folder in ("site/images", "site/labels", "other"):
            (tmp_path / folder).mkdir(parents=True)
            write_images(tmp_path / folder, [(128, 128)])
        with open_source([tmp_path], SMALL) as source:
            paths = [group.path for group in source.groups]
        assert paths == [tmp_path / "other" / "0.png", tmp_path / "site" / "images" / "0.png"]

    def test_nothing_to_learn_from_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="holds no slide"), open_source([tmp_path], SMALL):
            pass
        write_images(tmp_path, [(40, 40)])
        with pytest.raises(InputError, match="no tile"), open_source([tmp_path], SMALL):
            pass

    @pytest.mark.parametrize("wrong", [{"tile_px": 100}, {"min_tissue": 2.0}, {"mpp_factor": 0}])
    def test_impossible_settings_are_refused(self, wrong: dict[str, float]) -> None:
        with pytest.raises(UsageError):
            TileSettings(**wrong)  # type: ignore[arg-type]


class TestSlides:
    def test_a_slide_and_its_store_hold_the_same_tissue(self, cmu_slide: Path, tmp_path: Path) -> None:
        settings = TileSettings(mpp=0.5, tile_px=500)
        with open_slide(cmu_slide) as slide:
            ingest(slide, tmp_path / "cmu.zarr", TileConfig(Mpp.square(0.5), 500, codec="none"), workers=1)
        with open_source([cmu_slide, tmp_path], settings) as source:
            slide_group, store_group = source.groups
            assert np.array_equal(slide_group.read(0), store_group.read(0))
            shapes = {source.tile(number).shape[:2] for number in range(2 * len(store_group))}
        assert (500, 500) in shapes
        assert all(rows == cols >= 250 for rows, cols in shapes)

    def test_a_store_of_another_mpp_is_refused(self, cmu_slide: Path, tmp_path: Path) -> None:
        with open_slide(cmu_slide) as slide:
            ingest(slide, tmp_path / "cmu.zarr", TileConfig(Mpp.square(2.0), 250, codec="none"), workers=1)
        with (
            pytest.raises(InputError, match="`mpp`"),
            open_source([tmp_path], TileSettings(mpp=0.5, tile_px=250)),
        ):
            pass

    def test_tissue_by_another_way_gives_other_tiles(self, cmu_slide: Path, tmp_path: Path) -> None:
        settings = TileSettings(mpp=0.5, tile_px=500)
        with open_slide(cmu_slide) as slide:
            write_tissue(tmp_path / f"{cmu_slide.stem}.geojson", tissue_mask(slide), slide)

        def facts(tissue: str) -> tuple[int, str]:
            with open_source([cmu_slide], replace(settings, tissue=tissue)) as source:
                return source.tiles, source.identity

        usual, everywhere, drawn = map(facts, ("stain", "none", str(tmp_path)))
        assert usual[0] == drawn[0] < everywhere[0]
        assert len({usual[1], everywhere[1], drawn[1]}) == 3

    def test_a_slide_without_mpp_wants_one(self, tcga_slide: Path) -> None:
        with pytest.raises(MissingMpp, match="`mpp`"), open_source([tcga_slide], TileSettings()):
            pass

    def test_an_mpp_factor_reads_the_same_field_with_more_pixels(self, cmu_slide: Path) -> None:
        with contextlib.closing(SlidePool()) as pool:
            plain, finer = (
                SlideGroup(cmu_slide, TileSettings(mpp=1.0, tile_px=250, mpp_factor=n), pool) for n in (1, 2)
            )
            assert (plain.tile_px, finer.tile_px) == (250, 500)
            assert len(plain) == len(finer)
            reduced = cv2.resize(finer.read(0), (250, 250), interpolation=cv2.INTER_AREA)
            assert np.abs(reduced.astype(int) - plain.read(0)).mean() < 6

    def test_an_mpp_factor_is_not_asked_of_a_slide_without_the_detail(self, cmu_slide: Path) -> None:
        with contextlib.closing(SlidePool()) as pool:
            group = SlideGroup(cmu_slide, TileSettings(mpp=0.5, tile_px=500, mpp_factor=2), pool)
            assert group.tile_px == 500


def test_the_pool_closes_what_is_unused_once_the_budget_is_spent(tmp_path: Path) -> None:
    write_images(tmp_path, [(128, 128)] * 3)
    with contextlib.closing(SlidePool(budget_bytes=2 * 3 * 128 * 128)) as pool:
        for name in ("0.png", "1.png", "2.png", "0.png"):
            with pool.borrow(tmp_path / name) as slide:
                assert slide.dimensions == Size(128, 128)
        assert len(pool) == 2


def test_what_is_named_twice_counts_once(tmp_path: Path) -> None:
    write_images(tmp_path, [(140, 150), (150, 140)])
    settings = TileSettings(tile_px=128)
    with (
        open_source([tmp_path], settings) as once,
        open_source([tmp_path, tmp_path / "0.png"], settings) as twice,
    ):
        assert len(twice.groups) == 2
        assert twice.identity == once.identity
