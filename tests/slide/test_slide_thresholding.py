"""Value for value what SciPy and scikit-image give."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.filters import threshold_otsu

from wsi_nucssl.slide.description import _eroded
from wsi_nucssl.slide.thresholding import otsu_threshold, smooth

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(1, 40), st.integers(1, 40), st.floats(0.3, 4), st.integers(1, 8))
def test_smoothing_is_scipys(seed: int, rows: int, cols: int, sigma: float, radius: int) -> None:
    image = np.random.default_rng(seed).uniform(0, 255, (rows, cols, 3)).astype(np.float32)
    expected = ndimage.gaussian_filter(image, (sigma, sigma, 0), radius=radius)
    assert smooth(image, sigma, radius).tobytes() == expected.tobytes()


@given(SEEDS, st.integers(1, 30), st.integers(1, 30), st.integers(1, 5))
def test_the_threshold_is_scikit_images(seed: int, rows: int, cols: int, kinds: int) -> None:
    rng = np.random.default_rng(seed)
    image = (rng.integers(0, kinds, (rows, cols)) * 9 + rng.normal(0, 1, (rows, cols))).astype(np.float32)
    image = np.round(image) if seed % 2 else image
    assert otsu_threshold(image) == threshold_otsu(image)


@given(SEEDS, st.integers(1, 20), st.integers(1, 20))
def test_erosion_is_scipys(seed: int, rows: int, cols: int) -> None:
    mask = np.random.default_rng(seed).random((rows, cols)) < 0.9
    assert np.array_equal(_eroded(mask), ndimage.binary_erosion(mask, iterations=2))
