"""Pictures inside a page: as data URIs, so that nothing lies beside it."""

from __future__ import annotations

import base64
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.slide import RGB

VIRIDIS: Final = "viridis"
"""Even to the eye, in print and for the colour-blind: https://doi.org/10.1371/journal.pone.0199239."""


def jpeg_uri(image: RGB, quality: int = 85) -> str:
    """An RGB image (row, col, 3) as a JPEG in a data URI."""
    return _uri(bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(image), level=quality)), "jpeg")


def png_uri(image: NDArray[np.uint8]) -> str:
    """An image (row, col, 3 or 4) as a PNG in a data URI."""
    return _uri(bytes(imagecodecs.png_encode(np.ascontiguousarray(image))), "png")


def coloured(values: NDArray[np.floating[Any]], low: float, high: float) -> NDArray[np.uint8]:
    """Values in colour, uint8 RGBA (row, col, 4); NaN is clear."""
    from matplotlib import colormaps

    known = np.isfinite(values)
    part = np.clip((np.where(known, values, low) - low) / max(high - low, 1e-9), 0, 1)
    rgba = np.asarray(colormaps[VIRIDIS](part, bytes=True), np.uint8).copy()
    rgba[..., 3] = np.where(known, 255, 0)
    return rgba


def gradient() -> list[str]:
    """The colours of the colour bar from low to high, as CSS has them."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps[VIRIDIS](part)) for part in np.linspace(0, 1, 9)]


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
