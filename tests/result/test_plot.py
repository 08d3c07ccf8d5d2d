"""What a plot shows: the slide beneath, nuclei in their places, what colours and lengths mean."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes

from wsi_nucssl.errors import UsageError
from wsi_nucssl.result import Result
from wsi_nucssl.result.plot import label_of

mpl.use("Agg")

import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def _bar(ax: Axes) -> tuple[float, str]:
    """Length and text of the scale bar."""
    bar = next(artist for artist in ax.artists if type(artist).__name__ == "AnchoredSizeBar")
    text = bar.txt_label.get_text()  # type: ignore[attr-defined]
    return bar.size_bar.get_children()[0].get_width(), text  # type: ignore[attr-defined]


def test_a_plot_shows_slide_nuclei_colours_and_lengths(result: Result) -> None:
    ax = result.plot()
    ax.figure.canvas.draw()
    picture = ax.get_images()[0]
    assert tuple(picture.get_extent()) == (600, 1300, 1100, 500)
    assert np.asarray(picture.get_array()).shape == (600, 700, 3)
    assert (ax.get_xlim(), ax.get_ylim()) == ((600, 1300), (1100, 500))
    drawn = ax.collections[0]
    assert len(drawn.get_paths()) == len(result)
    assert len(np.unique(drawn.get_edgecolor(), axis=0)) > 50
    assert np.asarray(drawn.get_facecolor())[:, 3].max() < 0.5
    assert ax.child_axes[0].get_ylabel() == "area (µm²)"
    length, text = _bar(ax)
    assert (length, text) == (80, "20 µm")


@pytest.mark.parametrize(
    "region", [(600, 500, 700, 600), (600, 500, 600, 500), (600, 500, 600, 150), (600, 500, 150, 500)]
)
def test_nothing_that_is_written_is_cut_off(result: Result, region: tuple[int, int, int, int]) -> None:
    ax = result.plot(region=region)
    canvas = ax.figure.canvas
    canvas.draw()
    whole = ax.figure.bbox
    for label in (ax.xaxis.label, ax.yaxis.label, ax.child_axes[0].yaxis.label):
        box = label.get_window_extent()
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1


def test_colours_follow_any_column_of_numbers(result: Result) -> None:
    mine = result[:]
    mine.table["rank"] = result.table.area_um2.rank()
    ax = mine.plot(color_by="rank", cmap="magma")
    assert ax.child_axes[0].get_ylabel() == "rank"
    with pytest.raises(UsageError, match=r"`color_by`.*area_um2"):
        result.plot(color_by="id")


def test_outlines_alone_need_no_colours(result: Result) -> None:
    _, mine = plt.subplots()
    ax = result.plot(mine, color_by=None, picture=False)
    assert ax is mine
    assert not ax.get_images()
    assert not ax.child_axes
    assert len(np.unique(ax.collections[0].get_edgecolor(), axis=0)) == 1


def test_a_part_is_shown_closer(result: Result) -> None:
    ax = result.plot(region=(700, 600, 200, 100))
    assert (ax.get_xlim(), ax.get_ylim()) == ((700, 900), (700, 600))
    with pytest.raises(UsageError, match="`region`"):
        result.plot(region=(1, 2, 3))


def test_no_nucleus_is_a_plot_too(result: Result) -> None:
    ax = result[:0].plot()
    ax.figure.canvas.draw()


def test_names_become_words_with_units() -> None:
    names = ["area_um2", "major_axis_um", "area_px2", "centroid_x_px", "hematoxylin_od"]
    words = ["area (µm²)", "major axis (µm)", "area (px²)", "centroid x (px)", "hematoxylin od"]
    assert [label_of(name) for name in names] == words
