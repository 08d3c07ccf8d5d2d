"""How dense nuclei lie, place by place: nuclei per mm² of tissue on a grid over the slide."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.geometry import Box
from wsi_nucssl.segment.reporting import Subject

_CELL_UM: Final = 25.0
_MOST_CELLS: Final = 480
"""Along the longer side; cells of a large slide are larger."""
_SMOOTH_UM: Final = 50.0
_LEAST_TISSUE: Final = 0.05
"""Of a smoothed cell, below which nothing is said of it."""

Map = NDArray[np.float64]


@dataclass(slots=True)
class DensityGrid:
    """Nuclei counted in square cells.

    Attributes
    ----------
    cell_px : float
        Side of a cell in canvas px.
    cell_um : float
        The same in µm.
    tissue : ndarray
        How much of each cell is tissue, 0 to 1, float64 (row, col).
    """

    cell_px: float
    cell_um: float
    tissue: Map
    _counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self._counts = np.zeros(self.tissue.shape, np.int64)

    @classmethod
    def of(cls, subject: Subject) -> Self:
        """An empty grid over the slide."""
        extent, um = subject.windows.extent, subject.context.mpp.mean
        cell_um = max(_CELL_UM, max(extent.width, extent.height) * um / _MOST_CELLS)
        cell_px = cell_um / um
        rows, cols = (max(1, math.ceil(side / cell_px)) for side in extent.shape_rc)
        tissue = _coverage(subject, rows, cols, cell_px)
        return cls(cell_px, cell_um, tissue)

    def add(self, xy: NDArray[np.float64]) -> None:
        """Count nuclei by their centroids in canvas px (n, 2)."""
        rows, cols = self.tissue.shape
        col, row = np.clip((xy / self.cell_px).astype(np.int64), 0, [cols - 1, rows - 1]).T
        self._counts += np.bincount(row * cols + col, minlength=rows * cols).reshape(rows, cols)

    @property
    def sigma_um(self) -> float:
        """How far the map is smoothed."""
        return max(_SMOOTH_UM, 1.2 * self.cell_um)

    def per_mm2(self) -> Map:
        """Nuclei per mm² of tissue, smoothed, float64 (row, col); NaN where there is no tissue."""
        sigma = self.sigma_um / self.cell_um
        counts, tissue = (
            cv2.GaussianBlur(each.astype(np.float64), (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
            for each in (self._counts, self.tissue)
        )
        inside = cv2.GaussianBlur(np.ones_like(tissue), (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        known = (tissue / inside > _LEAST_TISSUE) & ((self.tissue > 0) | (self._counts > 0))
        density = np.full(tissue.shape, np.nan)
        density[known] = counts[known] / (tissue[known] * (self.cell_um / 1000) ** 2)
        return density

    def extremes(self, side_um: float) -> tuple[Box, Box] | None:
        """The densest and the sparsest place of tissue of about that side, in canvas px; None without tissue."""
        cells = max(1, round(side_um / self.cell_um))
        counts, tissue = (_sums(each, cells) for each in (self._counts.astype(np.float64), self.tissue))
        whole = tissue >= 0.95 * tissue.max()
        if not tissue.max() > 0:
            return None
        densest, sparsest = np.where(whole, counts, -1).argmax(), np.where(whole, counts, np.inf).argmin()
        cols = counts.shape[1]
        return self._box(int(densest), cols, cells), self._box(int(sparsest), cols, cells)

    def _box(self, place: int, cols: int, cells: int) -> Box:
        row, col = divmod(place, cols)
        x, y = round(col * self.cell_px), round(row * self.cell_px)
        return Box(x, y, x + round(cells * self.cell_px), y + round(cells * self.cell_px))


def _coverage(subject: Subject, rows: int, cols: int, cell_px: float) -> Map:
    """How much of each cell is tissue by the mask, 0 to 1; what lies beyond the slide is none."""
    place, mask = subject.context.transform, subject.tissue
    integral = np.pad(mask.mask.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    x = np.arange(cols + 1, dtype=np.float64) * (cell_px * place.scale_x / mask.scale)
    y = np.arange(rows + 1, dtype=np.float64) * (cell_px * place.scale_y / mask.scale)
    at_edges = _between(_between(integral, y).T, x).T
    inside: Map = np.diff(np.diff(at_edges, axis=0), axis=1)
    coverage: Map = np.clip(inside / (x[1] * y[1]), 0, 1)
    return coverage


def _between(values: Map, places: Map) -> Map:
    """Rows of `values` at places between them, linearly; the last one beyond."""
    places = np.clip(places, 0, len(values) - 1)
    first = np.minimum(places.astype(np.int64), len(values) - 2)
    part = (places - first)[:, None]
    mixed: Map = values[first] * (1 - part) + values[first + 1] * part
    return mixed


def _sums(values: Map, cells: int) -> Map:
    """Over squares of so many cells, as many as fit, by their first cell."""
    cells_rc = tuple(min(cells, side) for side in values.shape)
    integral = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    r, c = cells_rc
    total: Map = integral[r:, c:] - integral[:-r, c:] - integral[r:, :-c] + integral[:-r, :-c]
    return total
