"""A slide before it is written: any box of its pixels, any part of its nuclei."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sample_slides.anatomy import FIELDS, STEP, lattice
from sample_slides.nuclei import REACH, grow_nuclei, outline
from sample_slides.paint import paint, stamp_nuclei
from wsi_nucssl.geometry import Box, Point, Size

_WORLD_MPP = 0.25


@dataclass(frozen=True, slots=True)
class Scene:
    """An H&E-like slide. Each pixel is a function of the scene and its place: any box can be rendered alone.

    Parameters
    ----------
    size : level-0 size in px.
    seed : another seed is another slide.
    mpp : µm per px; nuclei keep their size in µm.
    """

    size: Size
    seed: int = 0
    mpp: float = _WORLD_MPP

    @property
    def scale(self) -> float:
        """World px (0.25 µm) per px of this slide."""
        return self.mpp / _WORLD_MPP

    def render(self, box: Box) -> NDArray[np.uint8]:
        """The pixels of `box`, uint8 RGB (row, col, 3)."""
        reach = int(REACH / self.scale) + 2
        density = np.zeros(box.size.shape_rc, np.float32)
        stamp_nuclei(self._nuclei(box.grow(reach)), box.x0, box.y0, self.scale, density)
        out = np.empty((*box.size.shape_rc, 3), np.uint8)
        paint(self._fields(box), density, box.x0, box.y0, self.scale, self._key, out)
        return out

    def polygons(self, box: Box) -> Iterator[NDArray[np.float64]]:
        """Closed outlines, float64 (n, 2) of level-0 (x, y), of the nuclei whose centre lies in `box`."""
        for nucleus in self._nuclei(box):
            yield outline(nucleus) / self.scale

    def _nuclei(self, box: Box) -> NDArray[np.void]:
        corners = (box.x0 * self.scale, box.y0 * self.scale, box.x1 * self.scale, box.y1 * self.scale)
        nuclei: NDArray[np.void] = grow_nuclei(*corners, self._key, *self._world)
        return nuclei

    def _fields(self, box: Box) -> NDArray[np.float64]:
        i0, j0 = int(box.x0 * self.scale // STEP), int(box.y0 * self.scale // STEP)
        cols = int(box.x1 * self.scale // STEP) + 3 - i0
        rows = int(box.y1 * self.scale // STEP) + 3 - j0
        fields: NDArray[np.float64] = lattice(i0, j0, cols, rows, self._key, *self._world)
        assert fields.shape == (rows, cols, FIELDS)
        return fields

    @property
    def _key(self) -> int:
        return self.seed * 1000

    @property
    def _world(self) -> tuple[float, float]:
        return self.size.width * self.scale, self.size.height * self.scale


def whole(size: Size) -> Box:
    """The box of all pixels."""
    return Box.at(Point(0, 0), size)
