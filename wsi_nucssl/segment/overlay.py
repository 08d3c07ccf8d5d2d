"""Look at a result: the outlines of a GeoJSON drawn on its slide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.export.reading import read_geojson
from wsi_nucssl.geometry import Box
from wsi_nucssl.slide import RGB, Canvas, Slide

_MAX_PX: Final = 64 * 2**20
_SHIFT: Final = 4
"""OpenCV draws at 1/16 px with this many fractional bits."""


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
    content = read_geojson(geojson)
    origin = np.array(content.get("wsi_nucssl", {}).get("origin_l0", [0, 0]))
    for ring, color in _rings(content, geojson):
        place = ((ring + origin) * zoom - corner - 0.5) * 2**_SHIFT  # OpenCV counts from pixel centres
        cv2.polylines(picture, [np.rint(place).astype(np.int32)], True, color, 1, cv2.LINE_AA, _SHIFT)
    return picture


def _rings(content: dict[str, Any], path: Path) -> Iterator[tuple[np.ndarray[Any, Any], tuple[int, ...]]]:
    """Each ring (vertices, 2) with its colour."""
    try:
        for feature in content["features"]:
            color = tuple(feature.get("properties", {}).get("classification", {}).get("color", (200, 0, 0)))
            for ring in feature["geometry"]["coordinates"]:
                yield np.array(ring, np.float64).reshape(-1, 2), color
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"a feature is not a polygon ({error!r})", path=path, remedy="Give polygons only"
        ) from error
