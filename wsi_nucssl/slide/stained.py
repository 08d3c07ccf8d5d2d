"""What of a coarse picture of a slide is stained: by colour, by darkness where there is no colour, as thin walls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.slide.base import RGB, WHITE
from wsi_nucssl.slide.thresholding import otsu_threshold, smooth

_SMOOTHING_PX: Final = 1.5
_SMOOTHING_REACH_PX: Final = 6
_STRIP_ROWS: Final = 256
_BRIGHT: Final = 200
_CHROMA_RANGE: Final = (7.0, 15.0)
"""Glass never exceeds the first, H&E never stays below the second; Otsu's threshold counts in between."""
_DARKNESS_RANGE: Final = (12.0, 30.0)
"""Likewise for grey pictures, in steps below the glass."""
_COLOURED_SHARE: Final = 1e-3
"""A picture of which less has any colour is grey."""
_WALL: Final = 6.0
"""What a wall of a fat cell, thinner than a mask pixel, differs by from what it encloses."""
_VACUOLE_PX: Final = 700
"""A fat cell of 120 µm, in px of a mask at the target resolution."""
_LINE_PX: Final = 5
"""What is no wider is a line, such as a coverslip's edge, unless it encloses something small."""
_PEN_PX: Final = 3
_NET: Final = 3
"""So many neighbouring cells make a net; a ring that encloses one hole is a bubble."""
_FLAT: Final = 3
"""Range of a channel within 3 × 3 px of glass."""
_GLASS_SHARE: Final = 0.05
"""Less of a picture than this says nothing about its glass."""

Strength = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Of RGB float32 (row, col, 3), how much stain there is: float32 (row, col)."""


def stained(image: RGB, fill: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where there is stain: bool (row, col), not yet rid of specks and holes.

    Parameters
    ----------
    image : ndarray of uint8
        RGB (row, col, 3) at about 4 µm per px.
    fill : ndarray of bool
        What is outside the scan, (row, col).
    """
    if fill.all():
        return np.zeros(fill.shape, np.bool_)
    glass, white = _glass(image, fill)
    image = np.where((fill | white)[..., None], glass.astype(np.uint8), image)
    gain = (glass.max() / glass if glass.min() > _BRIGHT else np.ones(3)).astype(np.float32)
    strength: Strength = _chroma
    bounds, is_grey = _CHROMA_RANGE, False
    smoothed = _smoothed(image, gain, strength)
    if (smoothed[~fill] > _CHROMA_RANGE[0]).mean() < _COLOURED_SHARE:
        strength, bounds, is_grey = _darkness(float(glass.max())), _DARKNESS_RANGE, True
        smoothed = _smoothed(image, gain, strength)
    threshold = np.clip(otsu_threshold(smoothed[~fill] if fill.any() else smoothed), *bounds)
    found = np.asarray(smoothed > threshold)
    found = _without_lines(found) if is_grey else found
    found |= _walls(_in_strips(image, gain, strength))
    return np.asarray(found & ~fill & ~_pen(image))


def darker(image: RGB, fill: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is darker than Otsu's threshold: bool (row, col); parameters as of `stained`."""
    if fill.all():
        return np.zeros(fill.shape, np.bool_)
    brightness = _smoothed(image, np.ones(3, np.float32), lambda strip: np.asarray(strip.mean(axis=2)))
    return np.asarray((brightness < otsu_threshold(brightness[~fill])) & ~fill)


def everything(image: RGB, fill: NDArray[np.bool_]) -> NDArray[np.bool_]:  # noqa: ARG001
    """All but the fill: bool (row, col); parameters as of `stained`."""
    return ~fill


def _glass(image: RGB, fill: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The glass's colour, (3,), and where white was filled in beside glass that is none, (row, col)."""
    white = image.min(axis=2) == WHITE
    window = np.ones((3, 3), np.uint8)
    flat = (cv2.dilate(image, window) - cv2.erode(image, window)).max(axis=2) <= _FLAT
    glass = (
        flat
        & ~cv2.dilate(white.view(np.uint8), window).astype(np.bool_)
        & ~fill
        & (image.min(axis=2) > _BRIGHT)
    )
    if white.mean() > _GLASS_SHARE and glass.mean() > _GLASS_SHARE:
        return np.asarray(np.percentile(image[glass], 99, axis=0)), white
    sample, seen = image[::4, ::4], ~fill[::4, ::4]
    return np.asarray(np.percentile(sample[seen] if seen.any() else image[~fill], 99, axis=0)), np.zeros_like(
        white
    )


def _smoothed(image: RGB, gain: NDArray[np.float32], strength: Strength) -> NDArray[np.float32]:
    return _in_strips(image, gain, lambda strip: strength(smooth(strip, _SMOOTHING_PX, _SMOOTHING_REACH_PX)))


def _chroma(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Spread of the channels."""
    return np.asarray(image.max(axis=2) - image.min(axis=2))


def _darkness(glass: float) -> Strength:
    return lambda image: np.asarray(glass - image.mean(axis=2), np.float32)


def _in_strips(image: RGB, gain: NDArray[np.float32], strength: Strength) -> NDArray[np.float32]:
    """Strip by strip, so that few planes of floats are held at a time."""
    found = np.empty(image.shape[:2], np.float32)
    for row in range(0, image.shape[0], _STRIP_ROWS):
        above = min(row, _SMOOTHING_REACH_PX)
        strip = image[row - above : row + _STRIP_ROWS + _SMOOTHING_REACH_PX] * gain
        found[row : row + _STRIP_ROWS] = strength(strip)[above : above + _STRIP_ROWS]
    return found


def _without_lines(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Connected parts that are somewhere wider than a line."""
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_LINE_PX, _LINE_PX))
    wide = cv2.erode(mask.view(np.uint8), disk) > 0
    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    kept = np.bincount(labels[wide], minlength=count) > 0
    kept[0] = False
    return np.asarray(kept[labels])


def _walls(strength: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Nets of thin walls with what they enclose: fat, whose cells are empty. Lines and single rings are none."""
    window = np.ones((3, 3), np.uint8)
    edges = np.asarray(cv2.dilate(strength, window) - cv2.erode(strength, window) > _WALL)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _LINE_PX + 1,) * 2)
    closed = edges | _cells(edges)
    return np.asarray(cv2.morphologyEx(closed.view(np.uint8), cv2.MORPH_OPEN, disk), np.bool_)


def _cells(net: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The small holes of a net, where several lie in one connected part of it."""
    closed = fill_holes(net, _VACUOLE_PX)
    parts, part_of = cv2.connectedComponents(closed.view(np.uint8), connectivity=4)
    _, holes, _, _ = cv2.connectedComponentsWithStats((closed & ~net).view(np.uint8), connectivity=4)
    first = np.unique(holes, return_index=True)[1][1:]
    is_net = np.bincount(part_of.flat[first], minlength=parts) >= _NET
    return np.asarray((holes > 0) & is_net[part_of])


def _pen(image: RGB) -> NDArray[np.bool_]:
    """Green, blue and red of pens, which no stain has at this resolution, and their rim."""
    red, green, blue = (image[..., channel].astype(np.int16) for channel in range(3))
    pen = (green - np.maximum(red, blue) > 12) | (blue - red > 70) | (red - np.maximum(green, blue) > 120)
    return np.asarray(cv2.dilate(pen.astype(np.uint8), np.ones((_PEN_PX, _PEN_PX), np.uint8)), np.bool_)


def drop_specks(mask: NDArray[np.bool_], least_px: int) -> NDArray[np.bool_]:
    """What is connected over at least so many px."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    large = stats[:, cv2.CC_STAT_AREA] >= least_px
    large[0] = False
    return np.asarray(large[labels])


def fill_holes(mask: NDArray[np.bool_], least_px: int) -> NDArray[np.bool_]:
    """The mask without holes of fewer px."""
    return ~drop_specks(~mask, least_px)
