"""Windows: what the network sees of a canvas, against the canvas mirrored as a whole."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.segment.doubles import DarkIsNucleus
from wsi_nucssl.geometry import Size
from wsi_nucssl.models.resunet import MULTIPLE
from wsi_nucssl.nuclei.instances import InstanceConfig, label_instances
from wsi_nucssl.nuclei.stain import hematoxylin_od
from wsi_nucssl.segment.engine import BodyBoundary, Windows
from wsi_nucssl.segment.images import predict_image, segment_image
from wsi_nucssl.segment.windows import (
    CORE,
    MARGIN,
    core_of,
    predict_batch,
    read_window,
    window_grid,
    window_shape,
)
from wsi_nucssl.slide import RGB


class Recorder(DarkIsNucleus):
    """Remembers what it was asked."""

    def predict(self, windows: Windows) -> BodyBoundary:
        asked.append(windows.shape)
        return DarkIsNucleus.predict(self, windows)


asked: list[tuple[int, ...]] = []


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_windows_are_few_alike_and_fit_the_network(width: int, height: int) -> None:
    grid = window_grid(Size(width, height))
    shape = window_shape(grid)
    assert shape.width % MULTIPLE == shape.height % MULTIPLE == 0
    assert max(grid.tile.width, grid.tile.height) <= CORE
    assert (grid.cols, grid.rows) == (-(-width // CORE), -(-height // CORE))
    assert grid.margin == MARGIN


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([16, 48, 80]), st.data())
def test_a_core_and_its_margin_are_cut_from_the_mirrored_canvas(
    width: int, height: int, core: int, data: st.DataObject
) -> None:
    margin = 8
    grid = window_grid(Size(width, height), margin, core)
    shape = window_shape(grid)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    mirrored = np.pad(image, ((200, 200), (200, 200), (0, 0)), mode="symmetric")
    tile = data.draw(st.sampled_from(list(grid)))
    window = read_window(lambda box: image[box.rc], tile, grid.extent, shape)
    assert window.shape == (*shape.shape_rc, 3)
    around = tile.read  # what lies farther out only fills the window up
    assert np.array_equal(window[: around.height, : around.width], mirrored[around.shift(200, 200).rc])
    core_pixels = core_of(tile, np.moveaxis(window, 2, 0))
    assert np.array_equal(np.moveaxis(core_pixels, 0, 2), image[tile.core.rc])


def test_the_engine_sees_one_shape_only(tissue: RGB) -> None:
    asked.clear()
    windows = [tissue[top : top + 64, :96] for top in (0, 100, 200)]
    alone = [predict_batch(Recorder(), [window], 1)[0] for window in windows]
    together = predict_batch(Recorder(), windows, 8)
    assert np.array_equal(together, np.stack(alone))
    assert asked == [(1, 64, 96, 3)] * 3 + [(8, 64, 96, 3)]


def test_an_image_in_windows_is_the_image_as_one(tissue: RGB) -> None:
    """The double looks 5 px far, less than the margin: windows cannot show."""
    extent = Size(tissue.shape[1], tissue.shape[0])
    one = predict_image(DarkIsNucleus(), tissue, window_grid(extent, MARGIN, 2048))
    many = predict_image(DarkIsNucleus(), tissue, window_grid(extent, MARGIN, 192))
    assert np.array_equal(one, many)
    assert np.array_equal(one[2], hematoxylin_od(tissue))
    config = InstanceConfig()
    assert np.array_equal(segment_image(DarkIsNucleus(), tissue, config), label_instances(one, config))
