"""The slide from afar: once with its tissue outlined, once with the density of its nuclei in colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.report.charts import Tick, axis
from wsi_nucssl.report.images import coloured, gradient, jpeg_uri
from wsi_nucssl.report.tally import Tally
from wsi_nucssl.scale_bar import ScaleBar
from wsi_nucssl.segment.reporting import Subject
from wsi_nucssl.slide import RGB, Canvas

_SIDE_PX: Final = 1000
_LARGEST_READ_PX: Final = 300 * 2**20
"""Of the level that the picture is made of: a slide without a pyramid would take longer to read than the rest."""
_COLOUR_RANGE: Final = (2, 98)
"""Percentiles that the colours go between: a few cells would take all the contrast."""
_OUTLINE: Final = (0, 150, 70)
_GLASS: Final = (226, 228, 231)
_TISSUE_GREY: Final = 205


@dataclass(frozen=True, slots=True)
class Maps:
    """Both pictures, of one size.

    Attributes
    ----------
    tissue, density : str
        As data URIs.
    width, height : int
        In px.
    bar : float
        Length of the scale bar in per cent of the width.
    bar_text : str
        What stands at it.
    ticks : tuple of Tick
        Of the colour bar, in nuclei per mm².
    colours : list of str
        Of the colour bar, from low to high.
    smooth_um : int
        How far the density is smoothed.
    is_empty : bool
        There is no tissue, and so no density.
    """

    tissue: str
    density: str
    width: int
    height: int
    bar: float
    bar_text: str
    ticks: tuple[Tick, ...]
    colours: list[str]
    smooth_um: int
    is_empty: bool

    @classmethod
    def of(cls, subject: Subject, tally: Tally) -> Maps:
        """Of a slide and its nuclei."""
        canvas = Canvas.within(subject.slide, _SIDE_PX)
        mask = canvas.look_up(subject.tissue.mask, subject.tissue.scale, canvas.box)
        picture = _picture(subject, canvas, mask)
        um_per_px = canvas.scale_x / subject.context.transform.scale_x * subject.context.mpp.mean
        bar = ScaleBar.within(canvas.size.width / 4, um_per_px)
        per_mm2 = tally.density.per_mm2()
        known = per_mm2[np.isfinite(per_mm2)]
        low, high = np.percentile(known, _COLOUR_RANGE).tolist() if known.size else (0.0, 1.0)
        high = high if high > low else low + 1
        cell_px = tally.density.cell_px * subject.context.transform.scale_x / canvas.scale_x
        return cls(
            jpeg_uri(_outlined(picture, mask)),
            jpeg_uri(_density(picture, mask, per_mm2, cell_px, (low, high))),
            canvas.size.width,
            canvas.size.height,
            100 * bar.px / canvas.size.width,
            bar.text,
            axis(low, high),
            gradient(),
            round(tally.density.sigma_um),
            not known.size,
        )


def _picture(subject: Subject, canvas: Canvas, mask: NDArray[np.bool_]) -> RGB:
    """The slide; its tissue mask alone where reading the slide would take too long."""
    if subject.slide.levels[canvas.level].size.area <= _LARGEST_READ_PX:
        return canvas.read_whole()
    grey = np.where(mask, _TISSUE_GREY, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _outlined(picture: RGB, mask: NDArray[np.bool_]) -> RGB:
    """Glass a little grey, and a line around the tissue."""
    drawn = picture.copy()
    if mask.any():  # faint tissue that was missed must still be seen
        drawn[~mask] = (0.6 * drawn[~mask] + 0.4 * np.array(_GLASS)).astype(np.uint8)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, contours, -1, _OUTLINE, 2, cv2.LINE_AA)
    return drawn


def _density(
    picture: RGB,
    mask: NDArray[np.bool_],
    per_mm2: NDArray[np.float64],
    cell_px: float,
    bounds: tuple[float, float],
) -> RGB:
    """The density on the tissue in colour, the rest pale."""
    grey = picture.mean(axis=2, keepdims=True)
    pale = np.repeat(0.3 * grey + 0.7 * 255, 3, axis=2)
    if not np.isfinite(per_mm2).any():
        return pale.astype(np.uint8)
    rows, cols = (((np.arange(side) + 0.5) / cell_px - 0.5).astype(np.float32) for side in mask.shape)
    across, down = np.meshgrid(cols, rows)
    values = _filled(per_mm2).astype(np.float32)
    drawn = cv2.remap(values, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    smooth: NDArray[np.float32] = np.asarray(drawn, np.float32)
    colours = 0.88 * coloured(smooth, *bounds)[..., :3] + 0.12 * grey
    return np.where(mask[..., None], colours, pale).astype(np.uint8)


def _filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unknown values take that of a nearest known one, by distances of 5 × 5 px (Borgefors, 1986)."""
    known = np.isfinite(values)
    _, nearest = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.empty(nearest.max() + 1)
    of_label[nearest[known]] = values[known]
    filled: NDArray[np.float64] = of_label[nearest]
    return filled
