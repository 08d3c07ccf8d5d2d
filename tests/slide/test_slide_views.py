"""What people look at a slide by: thumbnails, regions, lazy arrays and cards, on the one canvas."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsi_nucssl.errors import MissingMpp, SlideError, UsageError
from wsi_nucssl.geometry import Box, Mpp, Point, Size
from wsi_nucssl.slide import Canvas, Slide, open_slide, tissue_mask

quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
RESOLUTIONS = [None, 0.25, 0.4, 1.0, (0.5, 0.3)]


@pytest.fixture(scope="module")
def slide(pyramid: Path) -> Iterator[Slide]:
    with open_slide(pyramid) as slide:
        yield slide


def _canvas(slide: Slide, mpp: float | tuple[float, float] | None) -> Canvas:
    return Canvas(slide, Mpp.parse(0.25 if mpp is None else mpp))


@quick
@given(
    x=st.integers(-50, 950),
    y=st.integers(-50, 750),
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    mpp=st.sampled_from(RESOLUTIONS),
)
def test_a_region_is_the_least_box_of_canvas_px_that_covers_it(
    slide: Slide, x: int, y: int, width: int, height: int, mpp: float | tuple[float, float] | None
) -> None:
    canvas = _canvas(slide, mpp)
    box = Box(x, y, x + width, y + height).in_px_of(canvas.scale_x, canvas.scale_y)
    assert np.array_equal(slide.read((x, y, width, height), mpp=mpp), canvas.read(box))


def test_level_0_is_read_as_it_is(slide: Slide) -> None:
    assert np.array_equal(slide.read((10, 20, 30, 40)), slide.read_level(0, Box(10, 20, 40, 60)))


@pytest.mark.parametrize("max_side", [1, 100, 512, 899, 900, 5000])
def test_a_thumbnail_fits_and_shows_all(slide: Slide, max_side: int) -> None:
    image = slide.thumbnail(max_side)
    side = min(max_side, 900)
    assert image.dtype == np.uint8
    assert max(image.shape[:2]) == side
    assert image.shape[0] == -(-700 * side // 900)


@pytest.mark.parametrize("mpp", RESOLUTIONS)
def test_a_lazy_slide_holds_what_its_canvas_reads(
    slide: Slide, mpp: float | tuple[float, float] | None
) -> None:
    lazy, canvas = slide.dask(mpp=mpp), _canvas(slide, mpp)
    assert lazy.shape == (*canvas.size.shape_rc, 3)
    assert lazy.dtype == np.uint8
    assert lazy.chunksize == (min(1024, canvas.size.height), min(1024, canvas.size.width), 3)
    assert np.array_equal(lazy.compute(), canvas.read(canvas.box))


@quick
@given(
    rows=st.one_of(st.integers(-175, 174), st.slices(175)),
    cols=st.one_of(st.integers(-225, 224), st.slices(225)),
    channels=st.one_of(st.integers(-3, 2), st.slices(3)),
)
def test_slicing_a_lazy_slide_is_numpys(
    slide: Slide, rows: slice | int, cols: slice | int, channels: slice | int
) -> None:
    whole = slide.read((0, 0, 900, 700), mpp=1.0)
    assert whole.shape == (175, 225, 3)
    assert np.array_equal(slide.dask(mpp=1.0)[rows, cols, channels].compute(), whole[rows, cols, channels])


def test_chunks_lie_on_the_canvas_grid(slide: Slide) -> None:
    lazy = slide.dask(mpp=0.125)
    assert lazy.chunks == ((1024, 376), (1024, 776), (3,))
    block = lazy.blocks[1, 1].compute()
    assert np.array_equal(block, Canvas(slide, Mpp.square(0.125)).read(Box(1024, 1024, 1800, 1400)))


@pytest.mark.parametrize("region", [(0, 0, 10), (0, 0, 10.5, 10), (0, 0, -1, 10)])
def test_a_region_that_is_none_is_refused_by_name(slide: Slide, region: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="`region`"):
        slide.read(region)
    with pytest.raises(UsageError, match="`mpp`"):
        slide.read((0, 0, 1, 1), mpp=-1)
    with pytest.raises(UsageError, match="`max_side`"):
        slide.thumbnail(0)


def test_a_card_shows_the_slide_and_escapes_its_name(pyramid: Path, tmp_path: Path) -> None:
    path = tmp_path / "<b>&.tif"
    path.symlink_to(pyramid)
    with open_slide(path) as slide:
        text = slide._repr_html_()  # type: ignore[attr-defined]
        assert "<b>&.tif" not in text
        assert "&lt;b&gt;&amp;.tif" in text
        found = re.search(r"data:image/png;base64,([\w+/=]+)", text)
        assert found
        assert np.array_equal(imagecodecs.png_decode(base64.b64decode(found[1])), slide.thumbnail(256))
        for shown in ("900 × 700 px", "0.25 µm per px", "450 × 350 (1/2)"):
            assert shown in text
        assert repr(slide) == "<TiffReader <b>&.tif: 900 × 700 px, mpp 0.25, downsamples 1, 2, 4>"


def test_a_slide_without_mpp_is_read_as_it_is_and_says_so(tcga_slide: Path) -> None:
    with open_slide(tcga_slide) as slide:
        assert slide.read((0, 0, 8, 4)).shape == (4, 8, 3)
        assert "not stated" in slide._repr_html_()  # type: ignore[attr-defined]
        with pytest.raises(MissingMpp):
            slide.read((0, 0, 8, 4), mpp=0.5)


def test_tuples_will_do_for_a_level_too(slide: Slide) -> None:
    expected = slide.read_region(Point(16, 8), 1, Size(30, 20))
    assert np.array_equal(slide.read_region((16, 8), 1, (30, 20)), expected)
    with pytest.raises(UsageError, match="`location_l0`"):
        slide.read_region((16, 8, 3), 1, (30, 20))
    with pytest.raises(UsageError, match="`size`"):
        slide.read_region((16, 8), 1, 30)  # type: ignore[arg-type]


def test_what_wants_an_open_slide_says_so(pyramid: Path) -> None:
    with pytest.raises(UsageError, match=r"`slide` is an open slide, not .*Open it"):
        Canvas(str(pyramid), Mpp.square(0.5))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="`slide` is an open slide"):
        tissue_mask(pyramid)  # type: ignore[arg-type]


def test_a_canvas_takes_what_people_type(slide: Slide) -> None:
    assert Canvas(slide, 0.5).size == Canvas(slide, (0.5, 0.5)).size == Canvas(slide, Mpp.square(0.5)).size


@pytest.mark.parametrize("given", [None, 3, b"a.svs", np.zeros((4, 4, 3), np.uint8)])
def test_a_slide_is_opened_by_a_path(given: object) -> None:
    with pytest.raises(UsageError, match="`path` must be a path, not"):
        open_slide(given)  # type: ignore[call-overload,arg-type,unused-ignore]


@pytest.mark.parametrize("reader", ["tiff", "openslide", "tiffslide"])
def test_reading_after_closing_says_so(pyramid: Path, reader: str) -> None:
    with open_slide(pyramid, reader=reader) as slide:
        lazy = slide.dask()
    for read in (slide.thumbnail, lambda: slide.read((0, 0, 9, 9)), lazy.compute, lambda: tissue_mask(slide)):
        with pytest.raises(SlideError, match="was closed"):
            read()
    assert "was closed" in slide._repr_html_()  # type: ignore[attr-defined]
