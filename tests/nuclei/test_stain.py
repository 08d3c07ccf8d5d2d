"""Hematoxylin density against scikit-image's colour deconvolution."""

from __future__ import annotations

import numpy as np
from skimage.color import separate_stains

from wsi_nucssl.nuclei.stain import OD_STEP, hematoxylin_od
from wsi_nucssl.nuclei.stain_vectors import EOSIN, HEMATOXYLIN, deconvolution_row


def test_agrees_with_scikit_image_to_one_step() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    conversion = np.repeat(deconvolution_row()[:, None], 3, axis=1)
    # scikit-image's densities are logarithms to the base 10⁻⁶
    expected = 6 * separate_stains(np.maximum(rgb, 1), conversion)[..., 0] / OD_STEP
    np.testing.assert_allclose(hematoxylin_od(rgb), expected.clip(0, 255), atol=0.51)


def test_pure_stains() -> None:
    def tint(vector: tuple[float, float, float], density: float) -> np.ndarray:
        od = density * np.asarray(vector) / np.linalg.norm(vector)
        pixel: np.ndarray = np.rint(255 * 10**-od).astype(np.uint8).reshape(1, 1, 3)
        return pixel

    assert abs(int(hematoxylin_od(tint(HEMATOXYLIN, 0.8))[0, 0]) - 80) <= 1
    assert hematoxylin_od(tint(EOSIN, 0.8))[0, 0] <= 1
    assert hematoxylin_od(np.full((1, 1, 3), 255, np.uint8))[0, 0] == 0
    assert hematoxylin_od(np.zeros((1, 1, 3), np.uint8))[0, 0] > 100
