"""How well the seams of a run do not show: counted on the nuclei themselves, after each run."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.grid import TileGrid
from wsi_nucssl.nuclei.compiled import compiled
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
        pitch, offset, extent = _lines(windows)
        steps = np.array([(part * pitch / (CONTROLS + 1)).astype(np.int64) for part in range(CONTROLS + 1)])
        along = _lengths_along(nuclei.ring_xy, nuclei.ring_offsets, pitch, offset, extent, steps)
        return cls(
            _crossing(nuclei.ring_xy, nuclei.ring_offsets[nuclei.polygon_offsets], pitch, offset),
            int(nuclei.truncated.sum()),
            int(along[0]),
            int(along[1:].sum()),
        )

    def __str__(self) -> str:
        return (
            f"{self.crossing} nuclei cross a seam, {self.truncated} were cut; outlines along seams "
            f"{self.on_seams_px} px, along control lines {self.on_controls_px / CONTROLS:.0f} px"
        )


@compiled
def _crossing(
    ring_xy: NDArray[np.int32],
    vertex_offsets: NDArray[np.int64],
    pitch: NDArray[np.int64],
    offset: NDArray[np.int64],
) -> int:
    """How many nuclei, cut out of `ring_xy` by `vertex_offsets`, have a line strictly inside their bounding box."""
    found = 0
    for nucleus in range(len(vertex_offsets) - 1):
        ring = ring_xy[vertex_offsets[nucleus] : vertex_offsets[nucleus + 1]]
        for axis in range(2):
            low, high = ring[:, axis].min() - offset[axis], ring[:, axis].max() - offset[axis]
            if (high - 1) // pitch[axis] > low // pitch[axis]:
                found += 1
                break
    return found


@compiled
def _lengths_along(
    ring_xy: NDArray[np.int32],
    ring_offsets: NDArray[np.int64],
    pitch: NDArray[np.int64],
    offset: NDArray[np.int64],
    extent: NDArray[np.int64],
    steps: NDArray[np.int64],
) -> NDArray[np.int64]:
    """For each row (x, y) of `steps`, the px of ring edges that lie so far before a line of the grid inside the extent.

    Vertical edges lie on lines of constant x, horizontal ones on lines of constant y.
    """
    total = np.zeros(len(steps), np.int64)
    for ring in range(len(ring_offsets) - 1):
        for vertex in range(ring_offsets[ring], ring_offsets[ring + 1] - 1):
            for axis in range(2):
                place = np.int64(ring_xy[vertex, axis])
                if place != ring_xy[vertex + 1, axis]:
                    continue
                length = abs(np.int64(ring_xy[vertex + 1, 1 - axis]) - ring_xy[vertex, 1 - axis])
                rest = (offset[axis] - place) % pitch[axis]
                for step in range(len(steps)):
                    seam = place + steps[step, axis]
                    if rest == steps[step, axis] and 0 < seam < extent[axis]:
                        total[step] += length
    return total


def _lines(windows: TileGrid) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """From line to line, (x, y); a point where lines cross; the extent."""
    pitch = np.array([windows.tile.width, windows.tile.height], np.int64)
    extent = np.array([windows.extent.width, windows.extent.height], np.int64)
    return pitch, np.array([windows.offset.x, windows.offset.y], np.int64), extent
