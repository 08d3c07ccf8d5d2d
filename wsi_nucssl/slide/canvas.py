"""One grid for the whole slide at the resolution that the model wants."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box, Mpp, Point, Size
from wsi_nucssl.grid import TileGrid
from wsi_nucssl.resample import resample, resampled_length, triangle_taps
from wsi_nucssl.slide.base import RGB, WHITE, Slide, require_slide
from wsi_nucssl.slide.resolution import require_mpp

_LEVEL_TOLERANCE = 1.02
"""A level up to 2 % coarser than the canvas still serves: enlarging by that little loses nothing visible."""

_SAME = 1e-6

_LEAST_SCALE = 0.02
"""Level-0 px per canvas px; below it, two decimals of a level-0 px could not keep canvas px apart."""

_BLOCK_SOURCE_PX = 2048
"""Side, in px of the level read, of what `read_whole` reads at a time."""

Retouch = Callable[[RGB, Box], RGB]
"""The px of a box of a slide's level, in px of that level, to what they are to be."""


class Canvas:
    """The slide resampled to `mpp`, defined once: a pixel's value does not depend on the box that reads it.

    Canvas pixel (x, y) covers level-0 [x · scale_x, (x + 1) · scale_x) × [y · scale_y, (y + 1) · scale_y).
    Safe to share among threads, as its slide is.

    Parameters
    ----------
    slide : Slide
        The slide; it stays the caller's to close.
    mpp : Mpp or float or sequence of float
        µm per canvas px.

    Attributes
    ----------
    size : Size
        Of the canvas in px; it covers all of level 0.
    scale_x, scale_y : float
        Level-0 px per canvas px.

    Raises
    ------
    MissingMpp
        The slide's own resolution is unknown.
    SlideError
        It is more than 50 times as coarse as `mpp`.
    """

    def __init__(self, slide: Slide, mpp: Mpp | float | Sequence[float]) -> None:
        own, wanted = require_mpp(require_slide(slide)), Mpp.parse(mpp)
        self._lay_out(slide, wanted.x / own.x, wanted.y / own.y)

    @classmethod
    def at_scale(cls, slide: Slide, scale: float, scale_y: float | None = None) -> Self:
        """The canvas of `scale` level-0 px per px, or another number in y, for slides of any or unknown resolution."""
        canvas = cls.__new__(cls)
        canvas._lay_out(slide, scale, scale_y or scale)
        return canvas

    @classmethod
    def within(cls, slide: Slide, max_side: int) -> Self:
        """The canvas of at most `max_side` px a side; of a smaller slide, its own px."""
        longest = max(slide.dimensions.width, slide.dimensions.height)
        return cls.at_scale(slide, max(1.0, longest / max_side))

    def _lay_out(self, slide: Slide, scale_x: float, scale_y: float) -> None:
        if min(scale_x, scale_y) < _LEAST_SCALE:
            raise SlideError(
                f"that enlarges the slide {1 / min(scale_x, scale_y):.0f} times",
                path=str(slide.path),
                remedy="Check ⟨mpp⟩",
            )
        self.slide = slide
        fitting = min(scale_x, scale_y) * _LEVEL_TOLERANCE
        self._level = max(
            index for index, level in enumerate(slide.levels) if index == 0 or level.downsample <= fitting
        )
        downsample = slide.levels[self._level].downsample
        self.scale_x, self.scale_y = _snap(scale_x, downsample), _snap(scale_y, downsample)
        self._step_x, self._step_y = self.scale_x / downsample, self.scale_y / downsample
        self.size = Size(
            resampled_length(slide.dimensions.width, self.scale_x),
            resampled_length(slide.dimensions.height, self.scale_y),
        )

    @property
    def level(self) -> int:
        """The slide level that every pixel is computed from."""
        return self._level

    @property
    def box(self) -> Box:
        """The whole canvas."""
        return Box.at(Point(0, 0), self.size)

    def to_level0(self, box: Box) -> Box:
        """The least level-0 box that covers `box`, which is in canvas px."""
        return Box(
            math.floor(box.x0 * self.scale_x),
            math.floor(box.y0 * self.scale_y),
            math.ceil(box.x1 * self.scale_x),
            math.ceil(box.y1 * self.scale_y),
        )

    def read(self, box: Box, retouch: Retouch | None = None) -> RGB:
        """The pixels of `box`, in canvas px: uint8 RGB (row, col, 3), white outside the canvas.

        Parameters
        ----------
        box : Box
            In canvas px.
        retouch : callable, optional
            Changes the level's px before they are resampled.
        """
        inside = box.clip(self.box)
        if inside == box and not box.is_empty:
            return self._read_inside(box, retouch)
        image = np.full((*box.size.shape_rc, 3), WHITE, np.uint8)
        if not inside.is_empty:
            image[inside.relative_to(box.origin).rc] = self._read_inside(inside, retouch)
        return image

    def look_up(self, plane: NDArray[np.bool_], scale: float, box: Box) -> NDArray[np.bool_]:
        """A coarse plane over level 0 at the centres of the pixels of `box`: bool (row, col).

        Parameters
        ----------
        plane : ndarray of bool
            (row, col); pixel (x, y) covers level-0 [x · scale, (x + 1) · scale) and likewise in y.
        scale : float
            Level-0 px per px of it.
        box : Box
            In canvas px.
        """
        rows = ((np.arange(box.y0, box.y1) + 0.5) * self.scale_y / scale).astype(np.int64)
        cols = ((np.arange(box.x0, box.x1) + 0.5) * self.scale_x / scale).astype(np.int64)
        last_row, last_col = plane.shape[0] - 1, plane.shape[1] - 1
        return np.asarray(plane[np.ix_(rows.clip(0, last_row), cols.clip(0, last_col))])

    def read_whole(self) -> RGB:
        """All of a coarse canvas, in blocks that keep the pixels read at a time bounded."""
        downsample = self.slide.levels[self._level].downsample
        side = max(1, int(_BLOCK_SOURCE_PX * downsample / max(self.scale_x, self.scale_y)))
        image = np.empty((*self.size.shape_rc, 3), np.uint8)
        for block in TileGrid(self.size, Size(side, side)):
            image[block.core.rc] = self.read(block.core)
        return image

    def _read_inside(self, box: Box, retouch: Retouch | None) -> RGB:
        source = self.slide.levels[self._level].size
        if self._step_x == 1 and self._step_y == 1:
            return self._read_level(box, retouch)
        cols = triangle_taps(box.x0, box.x1, self._step_x, source.width)
        rows = triangle_taps(box.y0, box.y1, self._step_y, source.height)
        pixels = self._read_level(Box(cols.start, rows.start, cols.stop, rows.stop), retouch)
        return resample(pixels, rows, cols)

    def _read_level(self, box: Box, retouch: Retouch | None) -> RGB:
        pixels = self.slide.read_level(self._level, box)
        return pixels if retouch is None else retouch(pixels, box)


def _snap(scale: float, downsample: float) -> float:
    return downsample if abs(scale / downsample - 1) < _SAME else scale
