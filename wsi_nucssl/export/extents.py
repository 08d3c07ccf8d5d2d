"""How far a Feature reaches, from its text: most nuclei of a slide lie off a region, and need not be parsed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.nuclei.compiled import compiled

Extent = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax."""

_KEY = b'"coordinates"'
_LEAST_POINTS = 3


def extent_of(text: bytearray) -> Extent | None:
    """The box around all coordinates of a Feature's text; None where only parsing can tell."""
    low_x = low_y = math.inf
    high_x = high_y = -math.inf
    place = text.find(_KEY)
    while place >= 0:
        found = _extent(np.frombuffer(text, np.uint8), place + len(_KEY))
        if not found[0] <= found[2]:
            return None
        low_x, low_y = min(low_x, found[0]), min(low_y, found[1])
        high_x, high_y = max(high_x, found[2]), max(high_y, found[3])
        place = text.find(_KEY, place + len(_KEY))
    return (low_x, low_y, high_x, high_y) if low_x <= high_x else None


def skimmed(text: bytearray) -> tuple[Extent, Mapping[str, Any]] | None:
    """The box around a Feature's one polygon, and the Feature without the coordinates, which take long to parse.

    None where only parsing can tell: it has several geometries, or another one than a polygon of at least three points.
    """
    place = text.find(_KEY)
    start = place + len(_KEY)
    if place < 0 or text.find(_KEY, start) >= 0:
        return None
    low_x, low_y, high_x, high_y, end, points = _extent(np.frombuffer(text, np.uint8), start)
    if not low_x <= high_x or points < _LEAST_POINTS:
        return None
    feature = orjson.loads(text[:start] + b":[]" + text[end:])
    geometry = feature.get("geometry")
    if not isinstance(geometry, dict) or (geometry.get("type"), geometry.get("coordinates")) != (
        "Polygon",
        [],
    ):
        return None
    return (low_x, low_y, high_x, high_y), feature


@compiled
def _extent(
    text: NDArray[np.uint8], start: int
) -> tuple[float, float, float, float, int, int]:  # pragma: no cover
    """Of nested arrays of numbers that follow a colon, with their end and number of points; xmin > xmax for others."""
    nothing = (1.0, 1.0, 0.0, 0.0, start, 0)
    points = 0
    low_x = low_y = np.inf
    high_x = high_y = -np.inf
    depth, position, i, size = 0, 0, start, text.size
    while i < size:
        c = text[i]
        if c == 91:  # [
            depth += 1
            position = 0
        elif c == 93:  # ]
            depth -= 1
            if depth <= 0:
                return (low_x, low_y, high_x, high_y, i + 1, points)
        elif c == 44:  # ,
            position += 1
        elif c == 45 or 48 <= c <= 57:
            sign = 1.0
            if c == 45:
                sign = -1.0
                i += 1
            whole, scale, after = 0.0, 1.0, False
            while i < size and (48 <= text[i] <= 57 or text[i] == 46):
                if text[i] == 46:
                    after = True
                else:
                    whole = whole * 10.0 + (text[i] - 48)
                    if after:
                        scale *= 10.0
                i += 1
            if i < size and (text[i] == 101 or text[i] == 69):  # an exponent
                return nothing
            value = sign * whole / scale
            if position == 0:
                low_x, high_x = min(low_x, value), max(high_x, value)
            elif position == 1:
                points += 1
                low_y, high_y = min(low_y, value), max(high_y, value)
            continue
        elif not (c == 58 or c == 32 or c == 10 or c == 13 or c == 9):
            return nothing
        i += 1
    return nothing
