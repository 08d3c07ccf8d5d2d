"""How well the seams of a run do not show: counted on the nuclei themselves, after each run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.tiles.grid import TileGrid


@dataclass(frozen=True, slots=True)
class SeamFigure:
    """Traces of the grid in the result.

    Attributes
    ----------
    crossing : nuclei that lie across a line between windows.
    truncated : nuclei that were cut because they reach farther than extraction may look.
    on_seams_px : length of nucleus outlines that run exactly along lines between windows.
    on_controls_px : the same for lines half a window away, where nothing can be wrong. Without visible seams the two
        are alike but for chance.
    """

    crossing: int = 0
    truncated: int = 0
    on_seams_px: int = 0
    on_controls_px: int = 0

    def __add__(self, other: SeamFigure) -> SeamFigure:
        return SeamFigure(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @classmethod
    def of(cls, nuclei: Nuclei, windows: TileGrid) -> Self:
        """Count in one table of nuclei; `windows` is the grid that was predicted on, lines crossing at (0, 0)."""
        if not len(nuclei):
            return cls()
        pitch = np.array([windows.tile.width, windows.tile.height])
        half = pitch // 2
        return cls(
            int(_crosses(nuclei, pitch).sum()),
            int(nuclei.truncated.sum()),
            _length_along(nuclei, pitch, np.zeros(2, np.int64)),
            _length_along(nuclei, pitch, half),
        )

    def __str__(self) -> str:
        return (
            f"{self.crossing} nuclei cross a seam, {self.truncated} were cut; outlines along seams "
            f"{self.on_seams_px} px, along control lines {self.on_controls_px} px"
        )


def _crosses(nuclei: Nuclei, pitch: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) True where a line lies strictly inside a nucleus's bounding box."""
    first = nuclei.ring_offsets[nuclei.polygon_offsets[:-1]]
    low = np.minimum.reduceat(nuclei.ring_xy, first)
    high = np.maximum.reduceat(nuclei.ring_xy, first)
    return np.asarray(np.any((high - 1) // pitch > low // pitch, axis=1))


def _length_along(nuclei: Nuclei, pitch: NDArray[np.int64], offset: NDArray[np.int64]) -> int:
    """Total px of ring edges that lie on grid lines at multiples of `pitch` plus `offset`, the canvas's edge aside."""
    ends = np.delete(np.arange(len(nuclei.ring_xy)), nuclei.ring_offsets[1:] - 1)
    start, stop = nuclei.ring_xy[ends], nuclei.ring_xy[ends + 1]
    total = 0
    for along, across in (
        (1, 0),
        (0, 1),
    ):  # vertical edges lie on lines of constant x, horizontal ones of constant y
        place = start[:, across]
        straight = (place == stop[:, across]) & (place > 0) & ((place - offset[across]) % pitch[across] == 0)
        total += int(np.abs(stop[straight, along] - start[straight, along]).sum())
    return total
