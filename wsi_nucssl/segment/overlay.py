"""Look at a result: the outlines of a GeoJSON drawn on its slide."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.doubts import warn_of
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.export.reading import NucleiFile
from wsi_nucssl.geometry import Box, Point
from wsi_nucssl.slide import RGB, Canvas, Slide

_MAX_PX: Final = 64 * 2**20
_SHIFT: Final = 4
"""OpenCV draws at 1/16 px with this many fractional bits."""
_EDGE_PX: Final = 4
_FARTHEST: Final = 2**30


def draw_overlay(slide: Slide, geojson: Path, region: Box | None = None, zoom: float = 1.0) -> RGB:
    """The outlines of the polygons of `geojson` on `slide`: uint8 RGB (row, col, 3).

    Parameters
    ----------
    region : Box, optional
        level-0 box to draw; the whole slide by default.
    zoom : float
        px of the picture per level-0 px.

    Raises
    ------
    InputError
        The file is no GeoJSON of polygons.
    UsageError
        The picture would be larger than 64 Mpx.
    """
    region = region or Box(0, 0, slide.dimensions.width, slide.dimensions.height)
    if region.size.area * zoom * zoom > _MAX_PX:
        raise UsageError("the picture would be too large", remedy="Give a smaller ⟨region⟩ or ⟨zoom⟩")
    canvas = Canvas.at_scale(slide, 1 / zoom)
    corner = round(region.x0 * zoom), round(region.y0 * zoom)
    picture = canvas.read(
        Box(*corner, max(corner[0] + 1, round(region.x1 * zoom)), max(corner[1] + 1, round(region.y1 * zoom)))
    )
    nuclei = NucleiFile(geojson)
    _draw(picture, nuclei, zoom, corner)
    warn_of(nuclei.doubts, geojson)
    return picture


def _draw(picture: RGB, nuclei: NucleiFile, zoom: float, corner: tuple[int, int]) -> None:
    """Draw what may be seen; of most nuclei of a slide no more is looked at than where they begin and end in x."""
    try:
        place = Point.parse(nuclei.header.get("origin_l0", (0, 0)))
    except UsageError as error:
        raise InputError(f"its origin_l0 is no place ({error})", path=nuclei.path) from error
    origin = np.array([[place.x, place.y]], np.float64)
    left = (corner[0] - _EDGE_PX) / zoom - origin[0, 0]
    right = (corner[0] + picture.shape[1] + _EDGE_PX) / zoom - origin[0, 0]
    try:
        for nucleus in nuclei:
            if any(
                max(polygon[0])[0] >= left and min(polygon[0])[0] <= right for polygon in nucleus.polygons
            ):
                for ring in nucleus.rings():
                    drawn = (
                        (ring + origin) * zoom - corner - 0.5
                    ) * 2**_SHIFT  # OpenCV counts from pixel centres
                    _outline(picture, drawn, nucleus.color)
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"a feature is not a polygon ({error!r})", path=nuclei.path, remedy="Give polygons only"
        ) from error


def _outline(picture: RGB, place: NDArray[np.float64], color: tuple[int, int, int]) -> None:
    if np.abs(place).max() < _FARTHEST:  # OpenCV counts in 32 bits
        cv2.polylines(picture, [np.rint(place).astype(np.int32)], True, color, 1, cv2.LINE_AA, _SHIFT)
