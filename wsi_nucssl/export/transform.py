"""Where nuclei lie on their slide: from canvas px to level-0 px."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.errors import UsageError

COORDINATE_DECIMALS: Final = 2
_LEAST_SCALE: Final = 0.02
"""Neighbouring pixel corners then stay apart in 2 decimals."""


@dataclass(frozen=True, slots=True)
class CanvasTransform:
    """Where the canvas lies on the slide: output (x, y) = canvas (x, y) · scale − origin, in level-0 px.

    Attributes
    ----------
    scale_x, scale_y : float
        level-0 px per canvas px.
    origin_x, origin_y : float
        level-0 position that becomes (0, 0): the bounds' corner for origin "qupath".
    width, height : float
        Of the slide in level-0 px, beyond which no vertex lies: the last canvas px may cover less than a whole one.

    Raises
    ------
    UsageError
        The scale is so small that two decimals cannot keep pixels apart.
    """

    scale_x: float
    scale_y: float
    origin_x: float = 0.0
    origin_y: float = 0.0
    width: float = math.inf
    height: float = math.inf

    def __post_init__(self) -> None:
        if not (_LEAST_SCALE <= self.scale_x < 1e6 and _LEAST_SCALE <= self.scale_y < 1e6):
            raise UsageError(
                f"a canvas of {self.scale_x} × {self.scale_y} level-0 px per px cannot be written",
                remedy=f"Work at a resolution of at least {_LEAST_SCALE} level-0 px per px",
            )

    def level0(self, xy: NDArray[np.int32] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Canvas (x, y) as level-0 (x, y), float64 (m, 2)."""
        moved: NDArray[np.float64] = xy * np.array([self.scale_x, self.scale_y]) - np.array(
            [self.origin_x, self.origin_y]
        )
        return moved

    def centi_px(self, xy: NDArray[np.int32]) -> NDArray[np.int64]:
        """Canvas vertices (m, 2) as level-0 coordinates in 0.01 px, rounded half up; int64 (m, 2).

        None lies beyond the slide, unless its last 0.005 px are a canvas px of their own: that keeps 0.01 px, so that
        no two grid lines become one and polygons stay valid.
        """
        rounded: NDArray[np.int64] = np.floor(self.level0(xy) * 10**COORDINATE_DECIMALS + 0.5).astype(
            np.int64
        )
        for axis, (length, scale, origin) in enumerate(
            ((self.width, self.scale_x, self.origin_x), (self.height, self.scale_y, self.origin_y))
        ):
            if math.isfinite(length):
                np.minimum(rounded[:, axis], _last(length, scale, origin), out=rounded[:, axis])
        return rounded


def _last(length: float, scale: float, origin: float) -> int:
    """The greatest coordinate in 0.01 px: the slide's edge, and always beyond the last grid line but one."""
    unit = 10**COORDINATE_DECIMALS
    last_but_one = (math.ceil(length / scale - 1e-6) - 1) * scale
    return max(
        math.floor((length - origin) * unit + 1e-6), math.floor((last_but_one - origin) * unit + 0.5) + 1
    )
