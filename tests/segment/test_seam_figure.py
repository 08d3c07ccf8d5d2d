"""The seam figure against plain loops over edges."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.nuclei.scenes import configs, scenes
from wsi_nucssl.geometry import Point, Size
from wsi_nucssl.grid import TileGrid
from wsi_nucssl.nuclei.seams import extract_nuclei
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.segment.seam_figure import CONTROLS, SeamFigure


def counted(
    nuclei: Nuclei, pitch: tuple[int, int], extent: tuple[int, ...], offset: tuple[int, int]
) -> SeamFigure:
    crossing = seams = controls = 0
    on_seams = [
        Counter(range(offset[axis] % pitch[axis] or pitch[axis], extent[axis], pitch[axis]))
        for axis in (0, 1)
    ]
    on_controls = [
        Counter(
            seam - pitch[axis] * part // (CONTROLS + 1)
            for seam in on_seams[axis]
            for part in range(1, CONTROLS + 1)
        )
        for axis in (0, 1)
    ]
    for index in range(len(nuclei)):
        rings = nuclei.rings(index)
        low, high = rings[0].min(axis=0), rings[0].max(axis=0)
        crossing += any(
            (line - offset[axis]) % pitch[axis] == 0
            for axis in (0, 1)
            for line in range(low[axis] + 1, high[axis])
        )
        for ring in rings:
            for start, end in pairwise(ring):
                across = 0 if start[0] == end[0] else 1
                line, length = start[across], int(abs(end - start).sum())
                seams += length * on_seams[across][line]
                controls += length * on_controls[across][line]
    return SeamFigure(crossing, int(nuclei.truncated.sum()), int(seams), int(controls))


@settings(max_examples=60, deadline=None)
@given(scenes(), configs, st.integers(2, 20), st.integers(2, 20), st.tuples(*[st.integers(0, 30)] * 2))
def test_against_plain_loops(
    scene: NDArray[np.uint8], config: InstanceConfig, width: int, height: int, offset: tuple[int, int]
) -> None:
    nuclei = extract_nuclei(scene, config)
    grid = TileGrid(Size(scene.shape[2], scene.shape[1]), Size(width, height), offset=Point(*offset))
    figure = SeamFigure.of(nuclei, grid)
    assert figure == counted(nuclei, (width, height), scene.shape[:0:-1], offset)
    parts = [SeamFigure.of(part, grid) for part in nuclei.slices(2)]
    assert sum(parts, SeamFigure()) == figure


def test_a_cut_nucleus_is_seen() -> None:
    """The right half of a square is lost at the seam: its outline runs along it."""
    scene = np.zeros((3, 40, 40), np.uint8)
    scene[0, 10:30, 12:20] = 255
    nuclei = extract_nuclei(scene, InstanceConfig())
    figure = SeamFigure.of(nuclei, TileGrid(Size(40, 40), Size(20, 40)))
    assert (figure.crossing, figure.on_seams_px, figure.on_controls_px) == (0, 20, 0)
    assert math.isnan(figure.ratio)
    assert SeamFigure(0, 0, 20, 10 * CONTROLS).ratio == 2
    said = str(SeamFigure(3, 1, 20, 10 * CONTROLS + 3))
    assert said == (
        "3 nuclei cross a seam, 1 were cut; outlines along seams 20 px, along control lines 10 px"
    )
    assert "outlines along seams 20 px, along control lines 0 px" in str(figure)
