"""The mask on slides made of real tissue: grey, faint, fat, with pen, fill, bubbles and coverslip edges on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.benchmarks.tissue_pictures import RECIPES, Recipe, fat
from tests.benchmarks.tissue_table import Found, measured
from wsi_nucssl.slide import tissue_mask

RECALL = 0.98
OTHER = 0.04
"""The rim as wide as the mask's smoothing is 0.031 of the plain picture."""
RINGS = "grey, coverslip edges and bubbles"
"""Without colour, a bubble's ring is as dark as tissue."""


def test_fat_is_found() -> None:
    picture = fat()
    found = Found.of(picture, tissue_mask(picture.slide))
    assert found.recall >= RECALL
    assert found.other <= OTHER


SOME = ("grey", "faint, a quarter of the dye", "black wedges", "red pen")


def _check(monuseg: Path, recipes: Sequence[Recipe]) -> None:
    images = sorted((monuseg / "images").iterdir())
    rows = {picture.name: found for picture, _, found in measured(images, recipes)}
    assert len(rows) == len(recipes) + 1
    assert {name: found for name, found in rows.items() if found.recall < RECALL} == {}
    assert {name for name, found in rows.items() if found.other > OTHER} <= {RINGS}


def test_nuclei_are_in_the_mask_and_little_else(monuseg: Path) -> None:
    _check(monuseg, [recipe for recipe in RECIPES if recipe.name in SOME])


@pytest.mark.slow
def test_so_they_are_on_every_picture(monuseg: Path) -> None:
    _check(monuseg, RECIPES)
