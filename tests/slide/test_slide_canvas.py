"""The canvas: one value per pixel whatever reads it, and the value that the definition gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box, Mpp
from wsi_nucssl.resample import resample, triangle_taps
from wsi_nucssl.slide import RGB, Canvas, Slide, open_slide

quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def slide(odd_svs: Path) -> Iterator[Slide]:
    with open_slide(odd_svs) as slide:
        yield slide


@quick
@given(mpp_x=st.floats(0.1, 3.0), mpp_y=st.floats(0.1, 3.0), square=st.booleans(), data=st.data())
def test_a_pixel_does_not_depend_on_the_box_that_read_it(
    slide: Slide, mpp_x: float, mpp_y: float, square: bool, data: st.DataObject
) -> None:
    canvas = Canvas(slide, Mpp(mpp_x, mpp_x if square else mpp_y))
    whole = canvas.read(canvas.box)
    assert whole.shape == (*canvas.size.shape_rc, 3)
    for _ in range(4):
        x0, x1 = sorted(data.draw(st.tuples(*[st.integers(-20, canvas.size.width + 20)] * 2)))
        y0, y1 = sorted(data.draw(st.tuples(*[st.integers(-20, canvas.size.height + 20)] * 2)))
        box = Box(x0, y0, x1, y1)
        got = canvas.read(box)
        inside = box.clip(canvas.box)
        assert np.array_equal(got[inside.relative_to(box.origin).rc], whole[inside.rc])
        outside = np.ones(got.shape[:2], bool)
        outside[inside.relative_to(box.origin).rc] = False
        assert (got[outside] == 255).all()


@pytest.mark.parametrize("reader", ["openslide", "tiffslide"])
def test_the_same_holds_on_every_reader(odd_svs: Path, reader: str) -> None:
    with open_slide(odd_svs, reader=reader) as slide:
        canvas = Canvas(slide, Mpp.square(0.55))
        whole = canvas.read(canvas.box)
        for box in (Box(1, 2, 90, 77), Box(200, 100, 401, 310), Box(399, 300, 409, 319)):
            assert np.array_equal(canvas.read(box), whole[box.rc])


@quick
@given(step=st.floats(0.2, 9.0), length=st.integers(1, 60), data=st.data())
def test_resampling_follows_its_formula(step: float, length: int, data: st.DataObject) -> None:
    """Against the triangle filter written out pixel by pixel in floats."""
    seed = data.draw(st.integers(0, 1000))
    source = np.random.default_rng(seed).integers(0, 256, (5, length, 3), np.uint8)
    count = math.ceil(length / step - 1e-6) or 1
    got = resample(source, triangle_taps(0, 5, 1.0, 5), triangle_taps(0, count, step, length))
    support = max(step, 1.0)
    for i in range(count):
        centre = (i + 0.5) * step
        weights = [max(0.0, 1 - abs(j + 0.5 - centre) / support) for j in range(length)]
        wanted = sum(w * source[:, j].astype(float) for j, w in enumerate(weights)) / sum(weights)
        assert np.abs(got[:, i] - wanted).max() <= 0.6


@given(
    start=st.integers(0, 500), count=st.integers(1, 50), step=st.floats(0.05, 40), length=st.integers(1, 3000)
)
def test_weights_add_up_to_one_and_stay_inside(start: int, count: int, step: float, length: int) -> None:
    last = max(1, math.ceil(length / step - 1e-6))
    start = min(start, last - 1)
    taps = triangle_taps(start, min(start + count, last), step, length)
    assert (taps.weights.sum(axis=1) == 1 << 14).all()
    assert taps.weights.min() >= 0
    assert 0 <= taps.start < taps.stop <= length


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
@pytest.mark.parametrize("step", [0.37, 1.9, 7.3])
def test_a_flat_image_stays_flat(value: int, step: float) -> None:
    flat = np.full((40, 50, 3), value, np.uint8)
    got = resample(
        flat, triangle_taps(0, int(40 / step), step, 40), triangle_taps(0, int(50 / step), step, 50)
    )
    assert (got == value).all()


def test_a_levels_own_scale_is_an_exact_copy(pyramid: Path, pattern: Callable[[int, int], RGB]) -> None:
    with open_slide(pyramid) as slide:
        for downsample in (1, 2, 4):
            canvas = Canvas(slide, Mpp.square(0.25 * downsample))
            assert canvas.level == [1, 2, 4].index(downsample)
            assert np.array_equal(canvas.read(canvas.box), pattern(900, 700)[::downsample, ::downsample])


def test_the_coarsest_level_that_is_fine_enough_serves(pyramid: Path) -> None:
    with open_slide(pyramid) as slide:
        levels = [Canvas(slide, Mpp.square(mpp)).level for mpp in (0.1, 0.25, 0.4, 0.495, 0.6, 1.2, 8)]
    assert levels == [0, 0, 0, 1, 1, 2, 2]


@given(mpp=st.floats(0.05, 4))
@quick
def test_it_covers_level_0_and_no_more(slide: Slide, mpp: float) -> None:
    canvas = Canvas(slide, Mpp.square(mpp))
    for count, scale, length in (
        (canvas.size.width, canvas.scale_x, 901),
        (canvas.size.height, canvas.scale_y, 703),
    ):
        assert count * scale >= length - 1e-3
        assert (count - 1) * scale < length
    assert canvas.to_level0(canvas.box).contains(Box(0, 0, 901, 703))


def test_positions_keep_their_place(tmp_path: Path, write_tiff: Callable[..., Path]) -> None:
    """A bright square at a known place in µm lies there at every mpp."""
    image = np.zeros((600, 600, 3), np.uint8)
    image[200:300, 400:440] = 255
    path = write_tiff(tmp_path / "square.tif", image)
    with open_slide(path, mpp=0.25) as slide:
        for mpp in (0.1, 0.17, 0.25, 0.4, 1.0):
            canvas = Canvas(slide, Mpp.square(mpp))
            light = canvas.read(canvas.box)[..., 0].astype(float)
            rows, cols = np.mgrid[0 : light.shape[0], 0 : light.shape[1]] + 0.5
            assert (light * cols).sum() / light.sum() * mpp == pytest.approx(420 * 0.25, abs=0.01)
            assert (light * rows).sum() / light.sum() * mpp == pytest.approx(250 * 0.25, abs=0.01)


def test_senseless_enlargement_is_refused(slide: Slide) -> None:
    with pytest.raises(SlideError, match="enlarges"):
        Canvas(slide, Mpp.square(0.0001))
