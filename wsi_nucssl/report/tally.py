"""What a report needs to know of all nuclei of a slide, gathered while they pass and small however many there are."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.export.columns import COLUMNS, DECIMALS
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.report.candidates import Candidates
from wsi_nucssl.report.density import DensityGrid
from wsi_nucssl.report.spread import Spread
from wsi_nucssl.segment.reporting import Subject

_RANGES: Final = {
    "area_um2": (0.0, 1000.0),
    "perimeter_um": (0.0, 400.0),
    "major_axis_um": (0.0, 120.0),
    "minor_axis_um": (0.0, 80.0),
    "hematoxylin_od": (0.0, 3.0),
}
"""Of what has no natural bounds; all others lie between 0 and 1."""
_NAMES: Final = [column.name for column in COLUMNS]


class Tally:
    """Counts, spreads, a density grid and candidates for samples.

    Parameters
    ----------
    subject : Subject
        What the report is of.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._random, self.extent = np.random.default_rng(0), subject.windows.extent
        self.nuclei = 0
        self.spreads = {name: Spread(*_RANGES.get(name, (0.0, 1.0))) for name in _NAMES}
        self.density = DensityGrid.of(subject)
        self.largest, self.least_sure, self.on_seams, self.by_chance = (Candidates() for _ in range(4))

    def add(self, nuclei: Nuclei) -> None:
        """Take note of one table."""
        if not len(nuclei):
            return
        context = self._subject.context
        measured = context.measured(nuclei) / 10**DECIMALS
        placed = in_canvas_px(nuclei, self._subject)
        xy = placed.centroids_xy()
        self.nuclei += len(nuclei)
        for index, name in enumerate(_NAMES):
            self.spreads[name].add(measured[:, index])
        self.density.add(xy)
        area, sure = measured[:, _NAMES.index("area_um2")], measured[:, _NAMES.index("probability")]
        chance = self._random.random(len(nuclei))
        self.largest.add(-area, np.column_stack([xy, area]))
        self.least_sure.add(sure, np.column_stack([xy, sure]))
        self.by_chance.add(chance, np.column_stack([xy, area]))
        crossing = _crosses(placed, self._subject)
        self.on_seams.add(np.where(crossing, chance, np.inf), np.column_stack([xy, area]))


def in_canvas_px(nuclei: Nuclei, subject: Subject) -> Nuclei:
    """The table with its vertices in canvas px, wherever it came from."""
    return replace(nuclei, ring_xy=subject.context.canvas_xy(nuclei))


def _crosses(nuclei: Nuclei, subject: Subject) -> NDArray[np.bool_]:
    """Which nuclei lie across a line between windows, bool (n,)."""
    windows = subject.windows
    first = nuclei.ring_offsets[nuclei.polygon_offsets[:-1]]
    pitch = np.array([windows.tile.width, windows.tile.height])
    places = nuclei.ring_xy - np.array([windows.offset.x, windows.offset.y])
    low, high = (each.reduceat(places, first, axis=0) for each in (np.minimum, np.maximum))
    crossing: NDArray[np.bool_] = ((high - 1) // pitch > low // pitch).any(axis=1)
    return crossing
