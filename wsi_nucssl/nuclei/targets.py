"""Label image → the three classes the network learns (Xie et al., 2020, §2.2: body, boundary, background)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

BACKGROUND: Final = 0
BODY: Final = 1
BOUNDARY: Final = 2


def three_class(labels: NDArray[np.integer], boundary_px: int = 2) -> NDArray[np.uint8]:
    """Classes of a label image (row, col): 0 background, 1 body, 2 boundary; uint8.

    Boundary are the pixels of a nucleus within `boundary_px` of another label (background or a touching nucleus); body
    is the rest of it. Body and boundary together are exactly the nucleus, so regrowing bodies by the band gives nuclei
    back. A nucleus too small to have a body gets it from the widest narrower band that leaves one. The image's edge is
    no contour.
    """
    body = _inner(labels, boundary_px)
    for narrower in range(boundary_px - 1, -1, -1):
        counts = np.bincount(labels[body], minlength=int(labels.max(initial=0)) + 1)
        bodiless = (counts == 0)[labels] & (labels > 0)
        if not bodiless.any():
            break
        body |= bodiless & _inner(labels, narrower)
    return np.where(body, BODY, np.where(labels > 0, BOUNDARY, BACKGROUND)).astype(np.uint8)


def disk(radius_px: int) -> NDArray[np.uint8]:
    """What lies within a radius: uint8 (2 r + 1, 2 r + 1), 1 inside; OpenCV's elliptic structuring element."""
    steps = np.arange(-radius_px, radius_px + 1)
    half = np.rint(np.sqrt(radius_px**2 - steps**2))
    return (np.abs(steps) <= half[:, None]).astype(np.uint8)


def _inner(labels: NDArray[np.integer], boundary_px: int) -> NDArray[np.bool_]:
    """Pixels of nuclei with nothing but their own nucleus within `boundary_px`."""
    import cv2  # here, so that training, which has its own, does without OpenCV

    plane = labels.astype(np.float32)  # exact up to 2²⁴ labels; OpenCV has no int32 morphology
    low = cv2.erode(plane, disk(boundary_px), borderType=cv2.BORDER_REPLICATE)
    high = cv2.dilate(plane, disk(boundary_px), borderType=cv2.BORDER_REPLICATE)
    inner: NDArray[np.bool_] = (labels > 0) & (low == high)
    return inner
