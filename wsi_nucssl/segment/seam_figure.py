"""How well the seams of a run do not show: counted on the nuclei themselves, after each run."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.grid import TileGrid
from wsi_nucssl.nuclei.table import Nuclei

CONTROLS: Final = 7
"""Control lines to each seam: one alone is longer or shorter by an eighth by chance, on a slide of a few mm²."""


@dataclass(frozen=True, slots=True)
class SeamFigure:
    """Traces of the grid in the result.

    Attributes
    ----------
    crossing : int
        Nuclei that lie across a line between windows.
    truncated : int
        Nuclei that were cut because they reach farther than extraction may look.
    on_seams_px : int
        Length of nucleus outlines that run exactly along lines between windows.
    on_controls_px : int
        The same for `CONTROLS` lines to each of these, evenly spread over the window before it, where
        nothing can be wrong.
    """

    crossing: int = 0
    truncated: int = 0
    on_seams_px: int = 0
    on_controls_px: int = 0

    @property
    def ratio(self) -> float:
        """Outlines along a seam over those along a control line, 1 but for chance if seams do not show; NaN if none."""
        return CONTROLS * self.on_seams_px / self.on_controls_px if self.on_controls_px else math.nan

    def __add__(self, other: SeamFigure) -> SeamFigure:
        return SeamFigure(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @classmethod
    def of(cls, nuclei: Nuclei, windows: TileGrid) -> Self:
        """Count in one table of nuclei; `windows` is the grid that was predicted on."""
        if not len(nuclei):
            return cls()
        before = [part / (CONTROLS + 1) for part in range(1, CONTROLS + 1)]
        return cls(
            int(_crosses(nuclei, windows).sum()),
            int(nuclei.truncated.sum()),
            _length_along(nuclei, windows, 0),
            sum(_length_along(nuclei, windows, part) for part in before),
        )

    def __str__(self) -> str:
        return (
            f"{self.crossing} nuclei cross a seam, {self.truncated} were cut; outlines along seams "
            f"{self.on_seams_px} px, along control lines {self.on_controls_px / CONTROLS:.0f} px"
        )


def _crosses(nuclei: Nuclei, windows: TileGrid) -> NDArray[np.bool_]:
    """(n,) True where a line lies strictly inside a nucleus's bounding box."""
    pitch, offset = _lines(windows)
    first = nuclei.ring_offsets[nuclei.polygon_offsets[:-1]]
    low = np.minimum.reduceat(nuclei.ring_xy, first) - offset
    high = np.maximum.reduceat(nuclei.ring_xy, first) - offset
    return np.asarray(np.any((high - 1) // pitch > low // pitch, axis=1))


def _length_along(nuclei: Nuclei, windows: TileGrid, part: float) -> int:
    """Total px of ring edges that lie that part of a window before a seam, a line of the grid inside the extent."""
    pitch, offset = _lines(windows)
    before = (part * pitch).astype(np.int64)
    extent = windows.extent.width, windows.extent.height
    ends = np.delete(np.arange(len(nuclei.ring_xy)), nuclei.ring_offsets[1:] - 1)
    start, stop = nuclei.ring_xy[ends], nuclei.ring_xy[ends + 1]
    total = 0
    for along, across in (
        (1, 0),
        (0, 1),
    ):  # vertical edges lie on lines of constant x, horizontal ones of constant y
        seam = start[:, across] + before[across]
        straight = (start[:, across] == stop[:, across]) & ((seam - offset[across]) % pitch[across] == 0)
        straight &= (seam > 0) & (seam < extent[across])
        total += int(np.abs(stop[straight, along] - start[straight, along]).sum())
    return total


def _lines(windows: TileGrid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """From line to line, (x, y), and a point where lines cross."""
    pitch = np.array([windows.tile.width, windows.tile.height], np.int64)
    return pitch, np.array([windows.offset.x, windows.offset.y], np.int64)
