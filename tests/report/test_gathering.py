"""What a report gathers while nuclei pass: against what numpy says of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wsi_nucssl.report.axes import ticks
from wsi_nucssl.report.candidates import Candidates
from wsi_nucssl.report.density import DensityGrid
from wsi_nucssl.report.spread import Spread


@given(hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(0, 100)), st.floats(0.01, 1))
def test_a_quantile_is_that_of_all_values_to_a_bin(values: np.ndarray, part: float) -> None:
    spread = Spread(0, 100)
    for piece in np.array_split(values, 3):
        spread.add(piece)
    expected = np.quantile(values, part, method="inverted_cdf")
    assert abs(spread.quantile(part) - expected) <= 100 / 4000


@given(hnp.arrays(np.float64, st.integers(1, 400), elements=st.floats(0, 100)))
def test_bars_hold_all_but_the_outermost_values(values: np.ndarray) -> None:
    spread = Spread(0, 100)
    spread.add(values)
    shown = spread.histogram()
    assert sum(shown.counts) >= 0.98 * len(values) - 2
    inside = (values >= shown.low) & (values < shown.high)
    assert abs(sum(shown.counts) - inside.sum()) <= (np.abs(values - shown.high) < 0.03).sum()
    assert len(shown.counts) <= 100


@given(st.lists(st.floats(-1e6, 1e6), max_size=200), st.integers(1, 5))
def test_candidates_are_the_least_of_all(keys: list[float], pieces: int) -> None:
    candidates = Candidates()
    all_keys = np.array(keys, np.float64)
    rows = np.column_stack([all_keys, np.arange(len(keys)), np.zeros(len(keys))]).reshape(-1, 3)
    for each in np.array_split(np.arange(len(keys)), pieces):
        candidates.add(all_keys[each], rows[each])
    assert [x for x, _, _ in candidates] == sorted(keys)[:24]


def test_an_even_density_is_what_it_is_up_to_the_tissues_edge() -> None:
    tissue = np.zeros((40, 50))
    tissue[8:30, 10:44] = 1
    grid = DensityGrid(cell_px=50, cell_um=25, tissue=tissue)
    rows, cols = np.nonzero(tissue)
    for shift in range(5):  # five nuclei in each cell of 0.025 mm a side: 8000 a mm²
        grid.add(np.column_stack([cols * 50 + 5 + 8 * shift, rows * 50 + 25]).astype(float))
    per_mm2 = grid.per_mm2()
    assert np.isnan(per_mm2[tissue == 0]).all()
    assert per_mm2[tissue == 1] == pytest.approx(8000)


def test_the_densest_and_the_sparsest_place_are_found() -> None:
    grid = DensityGrid(cell_px=100, cell_um=50, tissue=np.ones((20, 30)))
    rows, cols = np.nonzero(np.ones((20, 30)))
    empty = (rows // 2 == 3) & (cols // 2 == 11)
    grid.add(np.column_stack([cols * 100 + 50, rows * 100 + 50]).astype(float)[~empty])
    grid.add(np.full((50, 2), [1250.0, 850.0]))
    dense, sparse = grid.extremes(100) or pytest.fail("there is tissue")
    assert dense.x0 <= 1250 < dense.x1
    assert dense.y0 <= 850 < dense.y1
    assert (sparse.x0, sparse.y0, sparse.x1, sparse.y1) == (2200, 600, 2400, 800)


@given(st.floats(-1e5, 1e5), st.floats(1e-3, 1e5))
def test_an_axis_has_a_few_round_marks_within_it(low: float, length: float) -> None:
    marks = ticks(low, low + length)
    assert 1 <= len(marks) <= 12
    rounding = 1e-6 * length  # no eye sees a millionth of the axis
    assert all(low - rounding <= mark <= low + length + rounding for mark in marks)
