"""Smoothing and Otsu's threshold for the tissue mask, value for value those of SciPy and scikit-image.

Importing these two takes longer than finding the tissue.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BINS = 256


def smooth(image: NDArray[np.float32], sigma: float, radius: int) -> NDArray[np.float32]:
    """Gaussian smoothing along rows and cols, mirrored at the edges; float32 (row, col[, channel]).

    As `scipy.ndimage.gaussian_filter` with that radius: sums in float64, float32 between the axes.
    """
    for axis in (0, 1):
        image = _along(image, _gaussian(sigma, radius), axis)
    return image


def _gaussian(sigma: float, radius: int) -> NDArray[np.float64]:
    """Weights of the middle and of 1 … radius px from it."""
    around = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * around**2)
    return np.asarray((weights / weights.sum())[radius:])


def _along(image: NDArray[np.float32], weights: NDArray[np.float64], axis: int) -> NDArray[np.float32]:
    radius, length = len(weights) - 1, image.shape[axis]
    pad = [(radius, radius) if each == axis else (0, 0) for each in range(image.ndim)]
    wide = np.moveaxis(np.pad(image, pad, mode="symmetric").astype(np.float64), axis, 0)
    total = wide[radius : radius + length] * weights[0]
    for distance in range(radius, 0, -1):
        before, after = (wide[radius + way : radius + way + length] for way in (-distance, distance))
        total += (before + after) * weights[distance]
    return np.asarray(np.moveaxis(total, 0, axis), np.float32)


def otsu_threshold(values: NDArray[np.float32]) -> float:
    """The value that parts a histogram of 256 bins into the two classes of most variance between them.

    N. Otsu, "A threshold selection method from gray-level histograms", 1979, https://doi.org/10.1109/TSMC.1979.4310076,
    as `skimage.filters.threshold_otsu` counts it; the value itself if there is only one.
    """
    first = values.flat[0]
    if np.all(values == first):
        return float(first)
    whole, edges = np.histogram(values, bins=_BINS)
    counts, centres = whole.astype(np.float32), (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * centres) / below
    mean_above = (np.cumsum((counts * centres)[::-1]) / above[::-1])[::-1]
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(centres[np.argmax(between)])
