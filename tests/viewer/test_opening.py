"""What is shown: the right slide, converted once, compared nucleus by nucleus, exported as it is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
import simplejpeg
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from tests.viewer.making import SIZE, squares, write_nuclei, write_slide
from wsi_nucssl.errors import InputError, OutputExists
from wsi_nucssl.geometry import Box
from wsi_nucssl.runs import MANIFEST, MARK
from wsi_nucssl.slide import Canvas, open_slide
from wsi_nucssl.viewer import cache, matching, opening
from wsi_nucssl.viewer.exporting import check_folder, write_site
from wsi_nucssl.viewer.matching import matches
from wsi_nucssl.viewer.pictures import TILE_PX, SlidePictures
from wsi_nucssl.viewer.reading import TiledNuclei
from wsi_nucssl.viewer.sites import Site
from wsi_nucssl.viewer.tiling import write_tiles

FIRST = [(100, 100, 40), (300, 100, 40), (500, 100, 40), (1100, 860, 30)]
SECOND = [(104, 100, 40), (320, 100, 40), (1100, 860, 30), (700, 500, 50)]


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_slide(tmp_path / "slide.png")


def _folder(site: Site, number: int = 0) -> Path:
    return site.sets[number].folder


def test_two_results_are_matched_as_a_plain_loop_matches_them(tmp_path: Path, slide: Path) -> None:
    files = [write_nuclei(tmp_path / f"{n}.geojson", slide, p) for n, p in (("a", FIRST), ("b", SECOND))]
    with opening.open_site(slide, files) as site:
        one, other = (TiledNuclei.open(each.folder) for each in site.sets)
        found = matches(one, other)
        content = site.get("view.json")
    own, others = ([shape for tile in each.tiles for shape in each.outlines(*tile)] for each in (one, other))
    expected = [any(a.intersection(b).area > 0.5 * a.union(b).area for b in others) for a in own]
    assert found[0].tolist() == expected
    corners = [[each.bounds[:2] for each in side] for side in (own, others)]
    both = [{xy for xy, flag in zip(*pair, strict=True) if flag} for pair in zip(corners, found, strict=True)]
    assert both == [{(100, 100), (1100, 860)}, {(104, 100), (1100, 860)}]
    assert isinstance(content, bytes)
    assert b'"matches":{"both":2,"first":2,"second":2}' in content


@given(st.lists(st.tuples(*[st.integers(0, 60)] * 2, st.integers(4, 40)), min_size=1, max_size=5), st.data())
def test_pairs_are_those_of_a_plain_loop(places: list[tuple[int, int, int]], data: st.DataObject) -> None:
    def outlines(given: list[tuple[int, int, int]]) -> Any:
        return np.array([shapely.box(x, y, x + side, y + side) for x, y, side in given], dtype=object)

    moves = st.tuples(*[st.integers(-9, 9)] * 3)
    moved = [
        (x + dx, y + dy, max(side + ds, 3)) for x, y, side in places for dx, dy, ds in [data.draw(moves)]
    ]
    one, other = outlines(places), outlines(moved)
    expected = {
        (i, j)
        for i, a in enumerate(one)
        for j, b in enumerate(other)
        if a.intersection(b).area > 0.5 * a.union(b).area
    }
    assert {*zip(*(side.tolist() for side in matching._pairs(one, other)), strict=True)} == expected


def test_nuclei_are_converted_once_and_again_when_they_or_their_tiles_changed(
    tmp_path: Path, slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_nuclei(tmp_path / "n.geojson", slide, FIRST)
    made: list[Path] = []

    def write(folder: Path, *given: Any) -> int:
        made.append(folder)
        return write_tiles(folder, *given)

    monkeypatch.setattr("wsi_nucssl.viewer.opening.write_tiles", write)
    for _ in range(2):
        with opening.open_site(slide, [path]) as site:
            folder = _folder(site)
    assert len(made) == 1
    for name in ("tiles/0_0.bin", "places.bin", "index.json"):
        damaged = bytearray((folder / name).read_bytes())
        damaged[len(damaged) // 2] ^= 1
        (folder / name).write_bytes(damaged)
        assert not cache.is_whole(folder)
        with opening.open_site(slide, [path]) as site:
            assert cache.is_whole(_folder(site))
    assert len(made) == 4
    write_nuclei(path, slide, FIRST[:2])
    with opening.open_site(slide, [path]) as site:
        assert len(TiledNuclei.open(_folder(site))) == 2
    assert len(made) == 5


def test_tiles_of_a_run_are_kept_in_its_folder(tmp_path: Path, slide: Path) -> None:
    path = write_nuclei(tmp_path / "n.geojson", slide, FIRST)
    run = tmp_path / "n.geojson.run"
    run.mkdir()
    (run / MANIFEST).write_text(f'{{"{MARK}": 1}}')
    with opening.open_site(slide, [path]) as site:
        assert _folder(site).is_relative_to(run / "viewer")


def test_nuclei_of_another_slide_are_refused_unless_wanted(tmp_path: Path, slide: Path) -> None:
    path = write_nuclei(tmp_path / "n.geojson", slide, FIRST, slide_id="0" * 64)
    with (
        pytest.raises(InputError, match=r"n\.geojson.*found on another slide.*anyway"),
        opening.open_site(slide, [path]),
    ):
        pass
    with opening.open_site(slide, [path], anyway=True) as site:
        assert [doubt.kind for doubt in site.doubts] == ["other-slide"]


def test_layers_are_the_tissue_and_the_lines_between_windows(tmp_path: Path, slide: Path) -> None:
    path = write_nuclei(tmp_path / "n.geojson", slide, FIRST, window_px=[528, 428], margin_px=64)
    with opening.open_site(slide, [path]) as site:
        assert site.get("seams.json") == b'{"x":[400.0,800.0],"y":[300.0,600.0]}'
        assert site.get("tissue.json") == b"[[[0.0,0.0,1200.0,0.0,1200.0,912.0,0.0,912.0]]]"


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """A slide of one level whose px are a function of their place, larger than what is read at once."""
    y, x = np.mgrid[0:2100, 0:4700]
    image = np.stack([x * 255 // 4700, y * 255 // 2100, (x + y) * 255 // 6800], 2).astype(np.uint8)
    tifffile.imwrite(tmp_path / "flat.tif", image, tile=(256, 256), photometric="rgb")
    return tmp_path / "flat.tif"


def test_tiles_are_the_slide_at_every_level(flat: Path) -> None:
    with open_slide(flat) as slide:
        pictures = SlidePictures(slide)
        assert (pictures.top, pictures.coarsest) == (13, 9)
        for level in range(pictures.coarsest, pictures.top + 1):
            scale = 2 ** (pictures.top - level)
            grid = pictures.grid(level)
            for col, row in {(0, 0), (grid.width - 1, grid.height - 1)}:
                tile = simplejpeg.decode_jpeg(pictures.jpeg(level, col, row))
                box = Box(0, 0, tile.shape[1], tile.shape[0]).shift(col * TILE_PX, row * TILE_PX)
                expected = Canvas.at_scale(slide, scale).read(box)
                assert np.abs(tile.astype(int) - expected).mean() < 2
                right, bottom = box.x1 * scale, box.y1 * scale
                assert right >= 4700 or tile.shape[1] == TILE_PX
                assert bottom >= 2100 or tile.shape[0] == TILE_PX
        assert not pictures.has(13, 10, 0)
        assert not pictures.has(14, 0, 0)


def test_an_exported_page_holds_what_is_served(tmp_path: Path, slide: Path) -> None:
    path = write_nuclei(tmp_path / "n.geojson", slide, FIRST)
    folder = tmp_path / "page"
    told: list[tuple[int, int]] = []
    with opening.open_site(slide, [path]) as site:
        count = write_site(site, folder, lambda done, total: told.append((done, total)))
        written = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
        assert sorted(written) == sorted(site.paths())
        for name, file in written.items():
            content = site.get(name)
            assert file.read_bytes() == (content.read_bytes() if isinstance(content, Path) else content)
    assert told[-1] == (count, count)
    assert {"index.html", "openseadragon/LICENSE.txt", "slide/11/2_1.jpg", "nuclei/0/tiles/0_0.bin"} <= {
        *written
    }
    picture = cv2.imread(str(folder / "slide" / "11" / "2_1.jpg"))
    assert picture is not None
    assert picture.shape == (SIZE[1] - 512, SIZE[0] - 1024, 3)


def test_only_an_exported_page_is_replaced(tmp_path: Path, slide: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years")
    with pytest.raises(OutputExists, match="is there already"):
        check_folder(folder, inputs=[slide], overwrite=False)
    with pytest.raises(OutputExists, match="no exported page"):
        check_folder(folder, inputs=[slide], overwrite=True)
    with pytest.raises(OutputExists, match="lies in it"):
        check_folder(tmp_path, inputs=[slide], overwrite=True)


def test_squares_are_what_the_tests_take_them_for() -> None:
    nuclei = squares(FIRST)
    assert [len(nuclei.rings(index)) for index in range(4)] == [1, 2, 1, 2]
