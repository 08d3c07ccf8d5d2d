"""Separable resampling in integers: an output pixel is a fixed function of its own index.

A triangle filter as wide as the step it bridges: it averages when shrinking and is bilinear when enlarging.
Weights are computed in float64 from absolute positions, rounded to Q14 so that they add up to 1 exactly, and
applied in int32, so that no result depends on the box, the thread or the order of a sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]
"""Image of shape (row, col, 3), sRGB, uint8."""

_ONE = 1 << 14


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """Filter of a run of output pixels along one axis.

    Attributes
    ----------
    first : ndarray of int32
        int32 (n,), absolute index of the first source pixel of each output pixel.
    weights : ndarray of int32
        int32 (n, k), Q14; each row adds up to 1.
    """

    first: NDArray[np.int32]
    weights: NDArray[np.int32]

    @property
    def start(self) -> int:
        """First source pixel that is needed."""
        return int(self.first[0])

    @property
    def stop(self) -> int:
        """One past the last source pixel that is needed."""
        return int(self.first[-1] + self.weights.shape[1])


def triangle_taps(start: int, stop: int, step: float, source_length: int) -> Taps:
    """Taps of output pixels [start, stop), `step` source px apart, on an axis of `source_length` px.

    Beyond the ends of the axis nothing is read: the weights inside are scaled up to 1.
    """
    support = max(step, 1.0)
    count = min(math.ceil(2 * support), source_length)
    centres = (np.arange(start, stop, dtype=np.float64) + 0.5) * step
    first = np.clip(np.ceil(centres - support - 0.5), 0, source_length - count).astype(np.int32)
    positions = first[:, None] + np.arange(count) + 0.5
    raw = np.maximum(1.0 - np.abs(positions - centres[:, None]) / support, 0.0)
    beyond = raw.sum(axis=1) == 0
    raw[beyond, -1] = 1.0
    weights = np.rint(raw / raw.sum(axis=1, keepdims=True) * _ONE).astype(np.int32)
    largest = weights.argmax(axis=1)
    weights[np.arange(len(weights)), largest] += _ONE - weights.sum(axis=1, dtype=np.int32)
    return Taps(first, weights)


def resampled_length(length: int, step: float) -> int:
    """Output px, `step` source px apart, that cover `length` source px.

    An excess below a millionth of a px is rounding noise.
    """
    return max(1, math.ceil(length / step - 1e-6))


def resample(source: RGB, rows: Taps, cols: Taps) -> RGB:
    """Resample `source`, whose top left pixel is (rows.start, cols.start), to one pixel per tap (row, col, 3)."""
    out = np.empty((len(rows.first), len(cols.first), 3), np.uint8)
    flat = np.ascontiguousarray(source).reshape(source.shape[0], -1)
    _resample(flat, rows.first - rows.start, rows.weights, cols.first - cols.start, cols.weights, out)
    return out


@numba.njit(cache=True, nogil=True)
def _resample(source, row_first, row_weights, col_first, col_weights, out):  # type: ignore[no-untyped-def]
    """Rows first into a Q8 line (vectorised), then columns of that line: Q8 × Q14 fits int32."""
    sums = np.empty(source.shape[1], np.int32)
    line = np.empty(source.shape[1], np.int32)
    for i in range(out.shape[0]):
        sums[:] = 1 << 5
        for k in range(row_weights.shape[1]):
            weight = row_weights[i, k]
            if weight:
                row = source[row_first[i] + k]
                for j in range(row.size):
                    sums[j] += weight * np.int32(row[j])
        for j in range(line.size):
            line[j] = sums[j] >> 6
        for j in range(out.shape[1]):
            base = 3 * col_first[j]
            red = green = blue = np.int32(1 << 21)
            for k in range(col_weights.shape[1]):
                weight = col_weights[j, k]
                red += weight * line[base + 3 * k]
                green += weight * line[base + 3 * k + 1]
                blue += weight * line[base + 3 * k + 2]
            out[i, j, 0] = red >> 22
            out[i, j, 1] = green >> 22
            out[i, j, 2] = blue >> 22
