"""How much tissue is looked at, against px of the mask counted by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from wsi_nucssl.geometry import Box, Mpp
from wsi_nucssl.segment.scope import Scope
from wsi_nucssl.slide import TissueMask
from wsi_nucssl.slide.roi import Roi

MASK = np.zeros((5, 6), np.bool_)
MASK[1:3, 2:5] = True
TISSUE = TissueMask(MASK, 8.5, Mpp(2.0, 3.0))
"""Six px of 2 × 3 µm, each 8.5 × 8.5 px of level 0."""


def regions(x0: float, y0: float, x1: float, y1: float) -> Roi:
    ring = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]], np.float64)
    return Roi(Path("r.geojson"), ([ring],))


@pytest.mark.parametrize(
    ("box", "px"),
    [
        (None, 6),
        (Box(0, 0, 51, 42), 6),
        (Box(17, 17, 34, 34), 2),
        (Box(17, 0, 34, 17), 2),
        (Box(17, 17, 34, 21), 2 * 4 / 8.5),
        (Box(0, 0, 17, 42), 0),
    ],
)
def test_tissue_in_a_box_is_what_lies_in_it(box: Box | None, px: float) -> None:
    scope = Scope(TISSUE, None, {})
    assert scope.mm2_in(box) == pytest.approx(px * 6 / 1e6)
    assert scope.mm2 == pytest.approx(36e-6)
    assert scope.seen is TISSUE
    assert scope.doubt is None
    assert Scope(replace(TISSUE, mpp=None), None, {}).mm2_in(box) == 0


def test_tissue_in_regions_is_that_of_the_regions_up_to_the_far_sides_of_the_slide() -> None:
    """340 × 510 px of level 0, all of them tissue of 0.25 × 0.5 µm a px."""
    tissue = TissueMask(np.ones((60, 40), np.bool_), 8.5, Mpp(8.5 * 0.25, 8.5 * 0.5))
    everywhere, part = (
        Scope(tissue, regions(*sides), {}) for sides in ((0, 0, 900, 900), (40, 60, 140, 260))
    )
    assert everywhere.mm2 == pytest.approx(340 * 510 * 0.125 / 1e6, rel=6e-3)
    assert part.mm2 == pytest.approx(100 * 200 * 0.125 / 1e6, rel=1e-9)
    assert part.mm2_in(Box(0, 0, 90, 160)) == pytest.approx(50 * 100 * 0.125 / 1e6, rel=1e-9)
    assert part.mm2_in(Box(200, 0, 290, 160)) == 0
    assert part.seen.fraction < everywhere.seen.fraction == 1
    assert part.tissue is tissue


def test_regions_that_leave_the_slide_hold_what_lies_on_it_to_the_px() -> None:
    """A mask of 4 × 6 px of 8.6 covers a slide of 35 × 52 px."""
    tissue = TissueMask(np.ones((6, 4), np.bool_), 8.6, Mpp.square(8.6))
    assert Scope(tissue, regions(-50, -50, 900, 900), {}).mm2 == pytest.approx(35 * 52 / 1e6, rel=1e-9)


def test_what_is_recorded_is_how_tissue_was_found_and_which_regions_there_are() -> None:
    assert Scope(TISSUE, None, {}).record() == {}
    roi = regions(0, 0, 9, 9)
    assert Scope(TISSUE, roi, {"tissue": "none"}).record() == {"tissue": "none", **roi.record()}


@pytest.mark.parametrize(
    ("mask", "roi", "kind"),
    [
        (MASK, None, None),
        (MASK, regions(0, 0, 51, 42), None),
        (MASK, regions(0, 0, 9, 9), "no-tissue-in-roi"),
        (np.zeros_like(MASK), None, "no-tissue"),
        (np.zeros_like(MASK), regions(0, 0, 51, 42), "no-tissue"),
    ],
)
def test_where_there_is_no_tissue_it_is_said(
    mask: NDArray[np.bool_], roi: Roi | None, kind: str | None
) -> None:
    doubt = Scope(replace(TISSUE, mask=mask), roi, {}).doubt
    assert (doubt and doubt.kind) == kind
