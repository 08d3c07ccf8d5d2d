"""Pictures inside a page: as data URIs, so that nothing lies beside it."""

from __future__ import annotations

import base64
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.captions import colours_of
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
    known = np.isfinite(values)
    part = np.clip((np.where(known, values, low) - low) / max(high - low, 1e-9), 0, 1)
    colours = colours_of(VIRIDIS)[np.rint(part * 255).astype(np.uint8)]
    return np.dstack([colours, np.where(known, 255, 0).astype(np.uint8)])


def gradient() -> list[str]:
    """The colours of the colour bar from low to high, as CSS has them."""
    return ["#{:02x}{:02x}{:02x}".format(*colour) for colour in colours_of(VIRIDIS, 9).tolist()]


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
