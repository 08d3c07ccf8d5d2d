"""The stain vectors of Ruifrok & Johnston, 2001, and the deconvolution by them (see `stain`).

https://pubmed.ncbi.nlm.nih.gov/11531144/
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.07, 0.99, 0.11)


def stain_vectors() -> NDArray[np.float64]:
    """OD of one unit of hematoxylin, of eosin and of what is neither, in R, G and B: (3, 3), a stain a row."""
    hematoxylin, eosin = (np.asarray(v) / np.linalg.norm(v) for v in (HEMATOXYLIN, EOSIN))
    residual = np.cross(hematoxylin, eosin)
    return np.stack([hematoxylin, eosin, residual / np.linalg.norm(residual)])


def deconvolution_row() -> NDArray[np.float64]:
    """Weights (3,) of OD in R, G and B whose sum is the hematoxylin density."""
    return np.asarray(np.linalg.inv(stain_vectors())[:, 0], np.float64)
