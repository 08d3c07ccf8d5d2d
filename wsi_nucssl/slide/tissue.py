"""Where the tissue is, at a resolution low enough to hold in memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Mpp, Size
from wsi_nucssl.slide.annotations import read_annotations, write_annotations
from wsi_nucssl.slide.base import RGB, Slide, require_slide
from wsi_nucssl.slide.canvas import Canvas
from wsi_nucssl.slide.fill import Fill, find_fill
from wsi_nucssl.slide.stained import drop_specks, fill_holes
from wsi_nucssl.slide.tissue_files import tissue_file
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE, TISSUES

_TARGET_UM = 4.0
_TARGET_L0_PX = 16.0
_MAX_SIDE_PX = 2048

_SPECK_PX = 150
_HOLE_PX = 600
"""In px of a mask at the target resolution; a coarser mask, of a very large slide, has fewer px for the same area."""


@dataclass(frozen=True, slots=True, eq=False)
class TissueMask:
    """Tissue on a coarse grid over level 0.

    Attributes
    ----------
    mask : ndarray of bool
        bool (row, col); pixel (x, y) covers level-0 [x · scale, (x + 1) · scale) and likewise in y.
    scale : float
        level-0 px per mask px, along both axes.
    mpp : Mpp or None
        µm per mask px, None where the slide's resolution is unknown.
    fill : Fill or None
        What lies outside the scan, where that was looked for.
    """

    mask: NDArray[np.bool_]
    scale: float
    mpp: Mpp | None
    fill: Fill | None = None
    _integral: NDArray[np.int32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != np.bool_ or self.scale <= 0:
            raise UsageError("a tissue mask is a 2-D bool array with a positive scale")
        integral = np.zeros((self.mask.shape[0] + 1, self.mask.shape[1] + 1), np.int32)
        np.cumsum(self.mask, axis=0, dtype=np.int32, out=integral[1:, 1:])
        np.cumsum(integral[1:, 1:], axis=1, out=integral[1:, 1:])
        object.__setattr__(self, "_integral", integral)

    @classmethod
    def everywhere(cls, slide: Slide) -> Self:
        """All of the slide counts as tissue."""
        canvas = Canvas.at_scale(slide, _scale(slide))
        return cls(np.ones(canvas.size.shape_rc, np.bool_), canvas.scale_x, _mask_mpp(slide, canvas.scale_x))

    @property
    def fraction(self) -> float:
        """Fraction of the mask that is tissue, 0 to 1."""
        return int(self._integral[-1, -1]) / self.mask.size

    @property
    def area_mm2(self) -> float | None:
        """Tissue area in mm², None where the resolution is unknown."""
        return None if self.mpp is None else int(self._integral[-1, -1]) * self.mpp.x * self.mpp.y / 1e6

    def painted(self, canvas: Canvas) -> Callable[[Box], RGB]:
        """What reads a canvas of the slide as if its fill were glass."""
        return canvas.read if self.fill is None else self.fill.painted(canvas)

    def coverage(self, box_l0: Box) -> float:
        """Fraction of a level-0 box that is tissue, 0 to 1, exact for boxes that cut through mask pixels."""
        if box_l0.is_empty:
            return 0.0
        x0, x1, y0, y1 = (side / self.scale for side in (box_l0.x0, box_l0.x1, box_l0.y0, box_l0.y1))
        tissue = self._sum(x1, y1) - self._sum(x0, y1) - self._sum(x1, y0) + self._sum(x0, y0)
        return min(1.0, max(0.0, tissue / ((x1 - x0) * (y1 - y0))))

    def _sum(self, x: float, y: float) -> float:
        """Tissue in [0, x) × [0, y), in mask px: the integral image is bilinear within a pixel."""
        rows, cols = self.mask.shape
        x, y = min(max(x, 0.0), float(cols)), min(max(y, 0.0), float(rows))
        col, row = min(int(x), cols - 1), min(int(y), rows - 1)
        dx, dy = x - col, y - row
        corner = self._integral[row : row + 2, col : col + 2].tolist()
        top = corner[0][0] * (1 - dx) + corner[0][1] * dx
        bottom = corner[1][0] * (1 - dx) + corner[1][1] * dx
        return float(top * (1 - dy) + bottom * dy)


def tissue_mask(slide: Slide, method: str = DEFAULT_TISSUE) -> TissueMask:
    """Find the tissue of a slide at about 4 µm per px (16 level-0 px where the resolution is unknown).

    Tissue is what has colour: the channels' spread, after the glass's own tint is divided out, above Otsu's
    threshold held within bounds, so that a slide of glass alone or of tissue alone comes out right too. Where nothing
    has colour, as on grey slides, it is what is darker than glass; and everywhere nets of thin walls, as of fat.
    Black and flat grey that fill what was not scanned, and the ink of pens, are left out. Specks are dropped and
    small holes filled. The mask has at most 2048 px a side, however large the slide, and is read block by block.

    Parameters
    ----------
    slide : Slide
        It stays the caller's to close.
    method : str
        A name of `TISSUES`, or the path of a GeoJSON file of annotations (as `write_tissue` and QuPath write it), or of
        a folder of such files, each with its slide's stem.

    Raises
    ------
    UsageError
        `method` is neither.
    InputError
        The file is no GeoJSON of annotations on this slide.
    """
    canvas = Canvas.at_scale(slide, _scale(require_slide(slide)))
    image = canvas.read_whole()
    fill = find_fill(image, canvas.scale_x)
    px_per_target_px = min(1.0, _target_scale(slide) / canvas.scale_x) ** 2
    if method in TISSUES:
        mask = _clean(TISSUES.get(method)(image, fill.mask), px_per_target_px)
    else:
        path = tissue_file(method, slide)
        mask = read_annotations(path, canvas.size.shape_rc, canvas.scale_x, slide.bounds.origin)
    return TissueMask(mask, canvas.scale_x, _mask_mpp(slide, canvas.scale_x), fill)


def write_tissue(path: Path, mask: TissueMask, slide: Slide) -> None:
    """Write the tissue as annotations that QuPath opens; corrected there, the file is a `method` of `tissue_mask`."""
    write_annotations(path, mask.mask, mask.scale, slide.bounds.origin)


def _scale(slide: Slide) -> float:
    """Level-0 px per mask px: a whole number of them, so that pyramids serve without resampling."""
    size: Size = slide.dimensions
    return float(max(1, round(_target_scale(slide)), math.ceil(max(size.width, size.height) / _MAX_SIDE_PX)))


def _target_scale(slide: Slide) -> float:
    return _TARGET_L0_PX if slide.mpp is None else _TARGET_UM / slide.mpp.mean


def _mask_mpp(slide: Slide, scale: float) -> Mpp | None:
    return None if slide.mpp is None else Mpp(slide.mpp.x * scale, slide.mpp.y * scale)


def _clean(mask: NDArray[np.bool_], px_per_target_px: float) -> NDArray[np.bool_]:
    """Drop specks, then fill holes; on a coarse mask, or one of few pixels, the limits shrink with it."""
    smaller = min(px_per_target_px, mask.size / 40_000)
    return fill_holes(drop_specks(mask, int(_SPECK_PX * smaller)), int(_HOLE_PX * smaller))
