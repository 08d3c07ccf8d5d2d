"""Hematoxylin optical density of H&E, as a byte per pixel.

Colour deconvolution of Ruifrok & Johnston, "Quantification of histochemical staining by color
deconvolution", Anal. Quant. Cytol. Histol. 23 (2001): optical density OD_c = −log10(I_c / 255) of each
channel is a linear mix of stains; their published H and E vectors, normalised, with the cross product as
the third, are inverted, and the hematoxylin row kept. So hematoxylin is a sum of three functions of one
byte each: three table look-ups a pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.nuclei.compiled import compiled
from wsi_nucssl.nuclei.stain_vectors import EOSIN, HEMATOXYLIN, deconvolution_row, stain_vectors

__all__ = ["EOSIN", "HEMATOXYLIN", "OD_STEP", "deconvolution_row", "hematoxylin_od", "stain_vectors"]

OD_STEP = 0.01
"""Optical density of one step of the quantised plane, which so covers 0 … 2.55."""

_FIXED_BITS = 16


def hematoxylin_od(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Hematoxylin optical density of uint8 RGB (row, col, 3): uint8 (row, col) in steps of `OD_STEP`.

    Negative densities read 0, those above 2.55 read 255.
    """
    return _look_up(rgb, _tables())


def _tables() -> NDArray[np.int32]:
    """Each channel's part of the density in 2⁻¹⁶ steps, int32 (3, 256); a channel of 0 counts as 1."""
    od = -np.log10(np.maximum(np.arange(256), 1) / 255)
    parts = deconvolution_row()[:, None] * od[None] / OD_STEP
    return np.rint(parts * (1 << _FIXED_BITS)).astype(np.int32)


@compiled
def _look_up(rgb: NDArray[np.uint8], tables: NDArray[np.int32]) -> NDArray[np.uint8]:
    density = np.empty(rgb.shape[:2], np.uint8)
    half = 1 << (_FIXED_BITS - 1)
    for row in range(rgb.shape[0]):
        for col in range(rgb.shape[1]):
            step = (
                tables[0, rgb[row, col, 0]] + tables[1, rgb[row, col, 1]] + tables[2, rgb[row, col, 2]] + half
            ) >> _FIXED_BITS
            density[row, col] = min(max(step, 0), 255)
    return density
