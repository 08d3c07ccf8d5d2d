"""Images of which only the hematoxylin plane exists, shown as RGB.

The planes that go with MoNuSeg's later images are uint8, bright where little stain is. We read them as
transmittance, 255 · 10^(−D) of the hematoxylin density D, as ImageJ's colour deconvolution writes it, since

- 255 is the background and 0 hardly occurs, as light that passes does and density does not;
- taken as −log10(v / 255), the nuclei's densities are as symmetric as those of H&E images by `nuclei.stain`
  (5, 50 and 95 % of one plane: 0.21, 0.76, 1.37; of H&E images 0.29, 0.61, 1.00 or 0.68, 0.98, 1.26) and of
  their size; taken as linear in the density they would be skewed, 33 steps one way and 115 the other.

The background reads D ≈ 0 where the published vectors leave 0.1 to 0.6 on H&E images: whoever made the
planes fitted the vectors to each image, or clipped more. A rendered image is a picture without eosin, not
the picture that was scanned.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.datasets.images import read_pixels
from wsi_nucssl.datasets.sample import Image
from wsi_nucssl.errors import DatasetError
from wsi_nucssl.nuclei.stain_vectors import HEMATOXYLIN

PLANE_ENDING = "_hema"
"""A plane's file is called after its image's id, with this ending."""

NOTE = (
    "{count} of {total} images are hematoxylin planes without eosin, rendered as RGB with the vector of "
    "Ruifrok & Johnston (2001)"
)


def read_hematoxylin(path: Path) -> Image:
    """Read a hematoxylin plane and render it as RGB, uint8 (row, col, 3).

    Raises
    ------
    DatasetError
        The file is damaged, or not one plane of 8 bits.
    """
    plane = read_pixels(path)
    if plane.dtype != np.uint8 or plane.ndim != 2:
        raise DatasetError(
            f"not a plane of 8 bits: shape {plane.shape}, {plane.dtype}",
            path=path,
            remedy=f"Store one grey value per pixel, or take the ending {PLANE_ENDING} off an RGB image",
        )
    return render(plane)


def render(plane: NDArray[np.uint8]) -> Image:
    """RGB (row, col, 3) of a plane (row, col) of transmittance: channel c is 255 · (v / 255)^h_c.

    h is the unit vector of hematoxylin; a value of 0 counts as 1. `nuclei.stain.hematoxylin_od` of the
    result is the plane's density again, to 0.01 or so.
    """
    vector = np.asarray(HEMATOXYLIN) / np.linalg.norm(HEMATOXYLIN)
    transmittance = np.maximum(np.arange(256), 1)[:, None] / 255
    colours: Image = np.rint(255 * transmittance**vector).astype(np.uint8)
    return colours[plane]
