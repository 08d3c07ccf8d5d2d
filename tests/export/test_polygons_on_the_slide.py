"""No vertex beyond the slide, no two grid lines as one, and all others where they were."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsi_nucssl.export.transform import CanvasTransform


@given(
    length=st.integers(1, 400_000),
    scale=st.floats(0.02, 40, allow_nan=False),
    origin=st.integers(0, 5000),
)
def test_grid_lines_stay_on_the_slide_and_apart(length: int, scale: float, origin: int) -> None:
    lines = max(1, math.ceil(length / scale - 1e-6))
    at = np.unique(np.clip(np.array([0, 1, lines - 3, lines - 2, lines - 1, lines]), 0, lines)).astype(
        np.int32
    )
    xy = np.column_stack([at, at])
    free = CanvasTransform(scale, scale, origin, origin).centi_px(xy)
    kept = CanvasTransform(scale, scale, origin, origin, length, length).centi_px(xy)
    assert (np.diff(kept, axis=0) > 0).all()
    np.testing.assert_array_equal(kept[:-1], free[:-1])
    edge = (length - origin) * 100
    last_but_one = (lines - 1) * scale
    beyond = 1 if length - last_but_one < 0.0051 else 0
    assert (kept[-1] <= edge + beyond).all()
    if free[-1, 0] <= edge:
        np.testing.assert_array_equal(kept, free)
