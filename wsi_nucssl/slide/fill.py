"""What lies outside the scan: the black or grey that scanners and converters fill a rectangle up with.

It is no tissue, and a network that was trained on tissue and glass sees nuclei along its borders and loses true ones
beside it. So it is found once for the whole slide, at the mask's resolution, and painted as glass where the network
reads: whether a pixel is painted depends on its place and its colour alone, never on the tile that reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.geometry import Box
from wsi_nucssl.slide.base import RGB, WHITE
from wsi_nucssl.slide.canvas import Canvas
from wsi_nucssl.slide.stained import drop_specks

_BLACK: Final = 30
"""No stain is as dark in all channels, averaged over a mask's pixel."""
_FLAT: Final = 2
"""Range of a channel within 5 × 5 mask px that only a fill keeps below; noise of a camera and of JPEG exceed it."""
_COLOURLESS: Final = 8
_GLASS: Final = 200
"""A slide that is nowhere as bright shows no glass."""
_TINTED: Final = 12
"""Glass is the same in all channels, but for a scanner's white balance; tissue has colour, however pale."""
_DARKER_THAN_GLASS: Final = 25
_LEAST_PX: Final = 25
_COLOURS: Final = 4
"""So many fills of different grey at most; scanners have one or two."""
_ALIKE: Final = 10
"""A pixel is painted if each channel is so near the fill's: JPEG rings around a border."""
_BORDER_PX: Final = 2
"""The fill ends somewhere within its outermost mask pixels, or the next ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Fill:
    """Where a slide is filled, on the tissue mask's grid.

    Attributes
    ----------
    mask : ndarray of bool
        bool (row, col); True where all of the pixel is fill.
    colours : ndarray of uint8
        uint8 (n, 3), the RGB of each fill; (0, 3) where nothing is filled.
    glass : ndarray of uint8
        uint8 (3,), the RGB that it is painted with.
    scale : float
        Level-0 px per mask px.
    """

    mask: NDArray[np.bool_]
    colours: NDArray[np.uint8]
    glass: NDArray[np.uint8]
    scale: float

    @property
    def near(self) -> NDArray[np.bool_]:
        """The fill and its border: all that is no tissue, or may be none."""
        side = 2 * _BORDER_PX + 1
        return np.asarray(cv2.dilate(self.mask.view(np.uint8), np.ones((side, side), np.uint8)), np.bool_)

    def painted(self, canvas: Canvas) -> Callable[[Box], RGB]:
        """What reads a canvas as if the fill were glass; the canvas's own `read` where nothing is filled.

        It is painted before anything is resampled: what mixes with the tissue at its border is glass, and no dark rim.
        """
        if not len(self.colours):
            return canvas.read
        near, downsample = self.near, canvas.slide.levels[canvas.level].downsample
        level = Canvas.at_scale(canvas.slide, downsample)

        def paint(pixels: RGB, box: Box) -> RGB:
            cells = level.look_up(near, self.scale, box)
            if not cells.any():
                return pixels
            painted = np.array(pixels)  # a reader may keep what it gave
            painted[cells & self._alike(pixels)] = self.glass
            return painted

        return partial(canvas.read, retouch=paint)

    def _alike(self, image: RGB) -> NDArray[np.bool_]:
        alike = np.zeros(image.shape[:2], np.bool_)
        for colour in self.colours.astype(np.int16):
            low, high = (np.clip(colour + way, 0, 255).tolist() for way in (-_ALIKE, _ALIKE))
            if max(colour) < _BLACK:
                low, high = [0] * 3, [_BLACK + _ALIKE] * 3
            alike |= cv2.inRange(image, np.array(low), np.array(high)) > 0
        return alike


def find_fill(image: RGB, scale: float) -> Fill:
    """Find black and flat grey in a slide read at the mask's resolution.

    Parameters
    ----------
    image : ndarray of uint8
        RGB (row, col, 3).
    scale : float
        Level-0 px per px of it.
    """
    low, high = image.min(axis=2), image.max(axis=2)
    black = high < _BLACK
    bright = image[~black][::7] if not black.all() else image.reshape(-1, 3)
    glass = np.percentile(bright, 99, axis=0).astype(np.uint8)
    if glass.min() < _GLASS or np.ptp(glass) >= _TINTED:  # the palest tissue, where there is no glass
        glass = np.full(3, WHITE, np.uint8)
    window = np.ones((5, 5), np.uint8)
    flat = (cv2.dilate(image, window).astype(np.int16) - cv2.erode(image, window)).max(axis=2) <= _FLAT
    grey = (high - low < _COLOURLESS) & (high < int(glass.max()) - _DARKER_THAN_GLASS)
    cores = _large((flat & grey) | black)
    colours = _colours(image, cores)
    mask = np.zeros(image.shape[:2], np.bool_)
    for colour in colours.astype(np.int16):
        bounds = [np.clip(colour + way, 0, 255) for way in (-_FLAT - 1, _FLAT + 1)]
        mask |= cv2.inRange(image, bounds[0], bounds[1]) > 0
    mask = _large(mask | black)
    return Fill(mask, colours if mask.any() else colours[:0], glass, scale)


def _colours(image: RGB, cores: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The fills' colours, the most frequent first; each stands for those that are alike."""
    red, green, blue = image[cores].astype(np.uint32).T
    # As numbers they sort at once; as rows they took half a minute where an overview is mostly black.
    codes, counts = np.unique(red << 16 | green << 8 | blue, return_counts=True)
    found = np.stack([codes >> 16, codes >> 8, codes], axis=1).astype(np.uint8)
    kept: list[NDArray[np.uint8]] = []
    for colour in found[np.argsort(-counts, kind="stable")]:
        if all(np.abs(colour.astype(np.int16) - each).max() > _ALIKE for each in kept):
            kept.append(colour)
        if len(kept) == _COLOURS:
            break
    return np.array(kept, np.uint8).reshape(-1, 3)


def _large(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return drop_specks(mask, min(_LEAST_PX, mask.size // 8))
