"""The type of each nucleus: whole sums of bytes over its px, and the largest of them.

Sums are integers and do not depend on the order of px, and bytes are the same in every window that a nucleus is read
in. So a nucleus has the same type, and the same probabilities to the last bit, whichever block it belongs to.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.nuclei.compiled import compiled
from wsi_nucssl.nuclei.settings import LabelImage, Probabilities


def type_planes(probabilities: Probabilities) -> Probabilities:
    """P(type) in 255ths, uint8 (T, row, col), of planes as `settings.Probabilities` has them."""
    return probabilities[2:-1]


def types_in(
    labels: LabelImage, planes: Probabilities, count: int
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """The types of the labels 1 … `count`.

    Parameters
    ----------
    labels : int32 (row, col)
        Each label has a pixel.
    planes : uint8 (T, row, col)
        P(type) in 255ths.
    count : int
        How many labels there are, n.

    Returns
    -------
    type_id : int16 (n,)
        Index of the type of the largest sum over the label's px, the first of equals; −1 where T is 0.
    type_probability : float32 (n, T)
        Mean of each plane over the label's px.
    """
    if not len(planes):
        return np.full(count, -1, np.int16), np.zeros((count, 0), np.float32)
    sums = _sums(labels, planes, count)
    mean = sums[:, 1:] / (255 * np.maximum(sums[:, :1], 1))
    return sums[:, 1:].argmax(axis=1).astype(np.int16), mean.astype(np.float32)


@compiled
def _sums(labels: LabelImage, planes: Probabilities, count: int) -> NDArray[np.int64]:
    """Sums of 1 and of each plane for each label; int64 (n, 1 + T)."""
    sums = np.zeros((count, 1 + len(planes)), np.int64)
    for row in range(labels.shape[0]):
        for col in range(labels.shape[1]):
            label = labels[row, col]
            if label:
                sums[label - 1, 0] += 1
                for plane in range(len(planes)):
                    sums[label - 1, plane + 1] += planes[plane, row, col]
    return sums
