"""How probabilities become instances, in numbers; `instances` does it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.checks import whole, within

Probabilities = NDArray[np.uint8]
"""(3 + T, row, col) uint8: P(body), P(boundary) and P(type) of each of T types in 255ths, and last the hematoxylin OD
in steps of `stain.OD_STEP`."""
LabelImage = NDArray[np.int32]
"""(row, col) int32, 0 is background."""


@dataclass(frozen=True, slots=True)
class InstanceConfig:
    """How probabilities become instances; calibrated on validation images and stored with the weights.

    Attributes
    ----------
    body : float
        Least P(body) of a marker pixel, in (0, 1].
    foreground : float
        Least P(body) + P(boundary) of a nucleus pixel, in (0, 1].
    regrow_px : int
        Iterations by which markers regrow, in canvas px: about 1.5 × the boundary band of the training
        targets.
    min_marker_px : int
        Smallest marker kept, in px.
    min_area_px : int
        Smallest instance kept, in px.

    Raises
    ------
    UsageError
        A value lies out of its range.
    """

    body: float = 0.5
    foreground: float = 0.5
    regrow_px: int = 4
    min_marker_px: int = 4
    min_area_px: int = 16

    def __post_init__(self) -> None:
        for name in ("body", "foreground"):
            within(name, getattr(self, name), 0, 1, above=True)
        for name in ("regrow_px", "min_marker_px", "min_area_px"):
            whole(name, getattr(self, name), 0)

    @property
    def body_byte(self) -> int:
        """The body threshold in 255ths."""
        return math.ceil(self.body * 255)

    @property
    def foreground_byte(self) -> int:
        """The foreground threshold in 255ths."""
        return math.ceil(self.foreground * 255)

    @property
    def reach_px(self) -> int:
        """How far around its marker's bounding box an instance looks (proved in `seams`)."""
        return 2 * self.regrow_px + max(self.min_marker_px - 1, 1)
