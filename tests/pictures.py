"""Pictures read by OpenCV, whatever our own readers make of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.slide import RGB


def read_labels(path: Path) -> NDArray[np.uint16]:
    """A label image of 16 bits, (row, col)."""
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert labels is not None, path
    return labels.astype(np.uint16, casting="safe")


def read_rgb(path: Path) -> RGB:
    """A picture as uint8 RGB, (row, col, 3)."""
    bgr = cv2.imread(str(path))
    assert bgr is not None, path
    return np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8, casting="safe")
