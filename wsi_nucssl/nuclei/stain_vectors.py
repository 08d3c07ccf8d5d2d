"""The stain vectors of Ruifrok & Johnston, 2001, and the deconvolution by them (see `stain`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.07, 0.99, 0.11)


def deconvolution_row() -> NDArray[np.float64]:
    """Weights (3,) of OD in R, G and B whose sum is the hematoxylin density."""
    hematoxylin, eosin = (np.asarray(v) / np.linalg.norm(v) for v in (HEMATOXYLIN, EOSIN))
    residual = np.cross(hematoxylin, eosin)
    stains = np.stack([hematoxylin, eosin, residual / np.linalg.norm(residual)])
    weights: NDArray[np.float64] = np.linalg.inv(stains)[:, 0]
    return weights
