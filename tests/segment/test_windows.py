"""Windows: what the network sees of a canvas, against the canvas mirrored as a whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.segment.fakes import DarkIsNucleus
from wsi_nucssl.engines.base import BodyBoundary, Windows, predict_batch
from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Point, Size
from wsi_nucssl.models.spec import MULTIPLE
from wsi_nucssl.nuclei.instances import label_instances
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.stain import hematoxylin_od
from wsi_nucssl.segment.images import network_input, predict_image, segment_image
from wsi_nucssl.segment.windows import (
    CORE,
    MARGIN,
    WindowGrid,
    output_extent,
    px_to_cover,
    read_window,
    repeat_px,
    window_grid,
)
from wsi_nucssl.slide import RGB


class Recorder(DarkIsNucleus):
    """Remembers what it was asked."""

    def predict(self, windows: Windows) -> BodyBoundary:
        asked.append(windows.shape)
        return DarkIsNucleus.predict(self, windows)


asked: list[tuple[int, ...]] = []


UPSCALES = (1, 2)


@given(st.integers(1, 9000), st.integers(1, 9000), st.sampled_from(UPSCALES))
def test_windows_are_few_alike_and_fit_the_network(width: int, height: int, upscale: int) -> None:
    grid = window_grid(Size(width, height), upscale=upscale)
    shape = grid.input_shape
    assert shape.width % MULTIPLE == shape.height % MULTIPLE == 0
    assert (upscale * shape.width, upscale * shape.height) == (grid.shape.width, grid.shape.height)
    assert max(grid.tile.width, grid.tile.height) <= CORE
    for core, side in ((grid.tile.width, width), (grid.tile.height, height)):
        assert min(side, CORE) <= core < min(side, CORE) + upscale * MULTIPLE
    assert (grid.cols, grid.rows) == (-(-width // CORE), -(-height // CORE))
    assert grid.margin == MARGIN


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from([16, 48, 80]),
    st.sampled_from(UPSCALES),
    st.data(),
)
def test_a_window_is_cut_from_the_mirrored_canvas(
    width: int, height: int, side: int, upscale: int, data: st.DataObject
) -> None:
    margin = 8
    grid = window_grid(Size(width, height), margin, side, upscale=upscale, blend=0)
    seen = grid.input_extent
    for px, length in ((seen.width, width), (seen.height, height)):
        assert (px - 1) * upscale < length <= px * upscale
    image = np.random.default_rng(0).integers(0, 256, (*seen.size.shape_rc, 3), np.uint8)
    mirrored = np.pad(image, ((200, 200), (200, 200), (0, 0)), mode="symmetric")
    tile = data.draw(st.sampled_from(list(grid)))
    window = read_window(lambda box: image[box.rc], tile, grid)
    assert window.shape == (*grid.input_shape.shape_rc, 3)
    # what lies farther out than the margin only fills the window up
    rows, cols = (-(-side // upscale) for side in tile.read.size.shape_rc)
    x0, y0 = 200 + tile.read.x0 // upscale, 200 + tile.read.y0 // upscale
    assert np.array_equal(window[:rows, :cols], mirrored[y0 : y0 + rows, x0 : x0 + cols])
    core = tile.core.relative_to(tile.read.origin)
    assert np.array_equal(
        repeat_px(window[..., 1], upscale)[core.rc], repeat_px(image[..., 1], upscale)[tile.core.rc]
    )


def test_a_length_is_covered_without_regard_to_rounding_noise() -> None:
    assert 21 / 0.7 > 30
    lengths = ((21, 0.7, 30), (3, 1.0, 3), (30_001, 1e4, 4), (7, 2.0, 4), (1, 4.0, 1), (5, 4.0, 2))
    for length, scale, px in lengths:
        assert px_to_cover(length, scale) == px


@pytest.mark.parametrize(("margin", "core"), [(8, 40), (0, 32), (50, 1000)])
@pytest.mark.parametrize("upscale", UPSCALES)
def test_with_its_margins_a_window_is_the_least_that_the_network_takes(
    margin: int, core: int, upscale: int
) -> None:
    for side in (1, core - 1, core, core + 1, 5 * core):
        grid = window_grid(Size(side, 7), margin, core, upscale=upscale, blend=0)
        wanted = [px for px in range(min(side, core), 1200) if (px + 2 * margin) % (upscale * MULTIPLE) == 0]
        assert (grid.tile.width, grid.margin, grid.blend) == (wanted[0], margin, 0)


def test_windows_that_cut_input_px_are_refused() -> None:
    grid = WindowGrid(Size(99, 99), Size(64, 64), upscale=2)
    for wrong in ({"margin": 9}, {"tile": Size(63, 64)}, {"offset": Point(0, 5)}):
        with pytest.raises(UsageError, match="multiples of 2"):
            replace(grid, **wrong)


def test_the_engine_sees_one_shape_only(tissue: RGB) -> None:
    asked.clear()
    windows = [tissue[top : top + 64, :96] for top in (0, 100, 200)]
    alone = [predict_batch(Recorder(), [window], 1)[0] for window in windows]
    together = predict_batch(Recorder(), windows, 8)
    assert np.array_equal(together, np.stack(alone))
    assert asked == [(1, 64, 96, 3)] * 3 + [(8, 64, 96, 3)]


@pytest.mark.parametrize("upscale", UPSCALES)
def test_an_image_in_windows_is_the_image_as_one(tissue: RGB, upscale: int) -> None:
    """The double looks 5 px far, less than the margin: windows cannot show."""
    image = tissue[:-1, :-3]
    engine = DarkIsNucleus(upscale=upscale)
    extent = Size(image.shape[1], image.shape[0])
    one = predict_image(engine, image, window_grid(extent, MARGIN, 2048, upscale=upscale))
    many = predict_image(engine, image, window_grid(extent, MARGIN, 192, upscale=upscale))
    assert np.array_equal(one, many)
    stain = hematoxylin_od(network_input(image, upscale))
    assert np.array_equal(one[2], repeat_px(stain, upscale)[: image.shape[0], : image.shape[1]])
    config = InstanceConfig()
    assert np.array_equal(segment_image(engine, image, config), label_instances(one, config))


@given(
    st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.floats(0.2, 4),
    st.sampled_from([1, 2, 4]),
)
def test_the_answer_covers_the_slide_and_is_never_more_than_the_network_gives(
    source: tuple[int, int], seen: tuple[int, int], scale: float, upscale: int
) -> None:
    """Both sides alike: each is the lesser of what covers the slide's side, and of what is answered for the px seen."""
    extent = output_extent(Size(*source), Size(*seen), scale, scale, upscale)
    for side, length, input_px in zip((extent.width, extent.height), source, seen, strict=True):
        assert side <= upscale * input_px
        assert side == upscale * input_px or (side - 1) * scale < length <= side * scale + 1e-5
