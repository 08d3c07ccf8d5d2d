"""Annotated images at another resolution: the image by the slides' filter, the labels by nearest pixel.

Output pixel i lies at (i + 0.5) · step source px, the same place in the image and in its labels. Both have
ceil(size / step) px a side, as a slide's canvas has; what lies beyond the last source pixel repeats it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.resample import RGB, resample, resampled_length, triangle_taps

Labels = NDArray[np.int32]


def resample_image(image: RGB, step: float) -> RGB:
    """The image (row, col, 3) with pixels `step` source px apart; above 1 it shrinks."""
    rows, cols = (
        triangle_taps(0, resampled_length(length, step), step, length) for length in image.shape[:2]
    )
    return resample(image, rows, cols)


def resample_labels(labels: Labels, step: float) -> Labels:
    """The label image (row, col) with pixels `step` source px apart, each of the nearest source pixel's id.

    Enlarging repeats rows and columns: every nucleus stays, in as many pieces as it had. Shrinking passes
    pixels over; a nucleus of which none is left gets the output pixel that its centre falls into, unless
    that is all that another nucleus has.
    """
    rows, cols = (_nearest(length, step) for length in labels.shape)
    small = np.ascontiguousarray(labels[np.ix_(rows, cols)])
    if step > 1:
        _keep_small_nuclei(small, labels, step)
    return small


def _nearest(length: int, step: float) -> NDArray[np.intp]:
    """Source pixel of each output pixel along an axis of `length` px."""
    centres = (np.arange(resampled_length(length, step)) + 0.5) * step
    return np.minimum(centres.astype(np.intp), length - 1)


def _keep_small_nuclei(small: Labels, labels: Labels, step: float) -> None:
    """Give each nucleus of `labels` that is absent from `small` one pixel there, lowest id first."""
    ids, counts = np.unique(small, return_counts=True)
    left = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    for name in np.setdiff1d(labels[labels > 0], ids):
        row, col = (int((place + 0.5) / step) for place in _centre_rc(labels == name))
        place = min(row, small.shape[0] - 1), min(col, small.shape[1] - 1)
        owner = int(small[place])
        if owner == 0 or left[owner] > 1:
            left[owner] -= 1
            small[place] = name
            left[int(name)] = 1


def _centre_rc(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """The pixel of the mask that lies nearest to its centroid; the first of equals."""
    places = np.argwhere(mask)
    off = ((places - places.mean(axis=0)) ** 2).sum(axis=1)
    row, col = places[off.argmin()]
    return int(row), int(col)
