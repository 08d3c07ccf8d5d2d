"""Captions lie beside a picture, of which no px changes; scale bars have round lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_nucssl.captions import ColourBar, Item, Scale, Swatch, Text, captioned, colours_of
from wsi_nucssl.scale_bar import ScaleBar, round_down


@given(st.floats(1e-6, 1e9))
def test_a_round_length_is_the_longest_that_fits(value: float) -> None:
    length = round_down(value)
    assert length <= value * (1 + 1e-9)
    assert value < 2.5 * length * (1 + 1e-9)
    digits = f"{length:e}".split("e")[0].rstrip("0").rstrip(".")
    assert digits in ("1", "2", "5")


@pytest.mark.parametrize(
    ("longest", "mpp", "px", "text"),
    [(100, 0.5, 100, "50 µm"), (100, 0.25, 80, "20 µm"), (300, 10, 200, "2 mm"), (70, None, 50, "50 px")],
)
def test_a_scale_bar_is_as_long_as_it_says(longest: float, mpp: float | None, px: float, text: str) -> None:
    bar = ScaleBar.within(longest, mpp)
    assert bar.px == pytest.approx(px)
    assert bar.text == text


@pytest.mark.parametrize("width", [60, 300, 900, 3000])
def test_a_caption_covers_nothing(width: int) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (50, width, 3), np.uint8)
    items: list[Item] = [
        Scale(ScaleBar.within(50, 0.25)),
        Swatch((200, 0, 0), "Nucleus (79)"),
        ColourBar(colours_of("viridis"), "5", "49", "area µm²"),
        Text("words"),
    ]
    page = captioned(picture, items, title="A title")
    top = next(row for row in range(len(page)) if (page[row : row + 50, :width] == picture).all())
    assert page.shape[1] == max(width, 300)
    assert (page[:top] != 255).any()
    assert (page[top + 50 :] != 255).any()


def test_a_scale_bar_is_drawn_to_its_length() -> None:
    picture = np.full((20, 600, 3), 255, np.uint8)
    page = captioned(picture, [Scale(ScaleBar.within(200, 0.5))])
    dark = (page[20:] < 60).all(axis=2).sum(axis=1)
    assert dark.max() == 200
