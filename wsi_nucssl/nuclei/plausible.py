"""What nuclei of human tissue are like: how large, how many a mm² holds, and how sure a network is of them.

The bounds of size are set around the medians of 100 images of known resolution (MoNuSeg's 30, TNBC's first 30, 40 of
glioblastoma): 12.8 to 51.9 µm². MoNuSeg's three images at 20× have 23.5 to 30.5 at their own 0.5 µm per px,
and 5.9 to 7.6 if they are taken for 0.25. Upwards there is more room, since tumours have large nuclei.
"""

from __future__ import annotations

import math
from typing import Final

LEAST_MEDIAN_UM2: Final = 10.0
LARGEST_MEDIAN_UM2: Final = 80.0
"""The median nucleus in µm²: discs of 3.6 and 10.1 µm across."""

LEAST_PER_MM2: Final = 50.0
LARGEST_PER_MM2: Final = 40_000.0
"""Nuclei per mm² of tissue: fat and tendon have a hundred or two; images of MoNuSeg, TNBC and glioblastoma have
4,300 to 23,200."""

FEWEST: Final = 5
"""A median of fewer nuclei says little."""

LEAST_SURE: Final = 0.8
"""The median probability of an image's nuclei: 0.87 to 0.95 on those 100 images with either bundled model, and hardly
less on a dozen of them under any perturbation of `benchmark --stress`. At a quarter of their size, so that the mpp is
wrong by 4, it is 0.66 to 0.87 with the default model, below this bound on 22 of the 38 images where twenty nuclei are
found (`python -m tests.benchmarks.false_alarms`). Networks that were trained for a minute or two reach 0.72 to 0.93."""

FEWEST_SURE: Final = 20
"""Probabilities of fewer nuclei say little."""

LEAST_MM2: Final = 0.05
"""A density on less tissue says little: about the area of an image of MoNuSeg."""


def has_nuclear_size(median_um2: float) -> bool:
    """True if that may be the median area of nuclei."""
    return LEAST_MEDIAN_UM2 <= median_um2 <= LARGEST_MEDIAN_UM2


def likelier_factor(median_um2: float) -> float:
    """What the mpp is likely wrong by: the power of two, as objectives differ, that makes nuclei of usual size."""
    usual = math.sqrt(LEAST_MEDIAN_UM2 * LARGEST_MEDIAN_UM2)
    return float(2.0 ** round(math.log2(usual / median_um2) / 2))
