"""What else is drawn over a slide: its tissue, and the lines between the windows that the network saw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from wsi_nucssl.checks import as_number
from wsi_nucssl.slide import TISSUES, Slide, tissue_mask
from wsi_nucssl.slide.outlines import outlines
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE


def tissue(slide: Slide, header: Mapping[str, Any]) -> list[list[list[float]]]:
    """The tissue that nuclei were looked for in: polygons of rings, each x, y, x, y, … in level-0 px.

    Parameters
    ----------
    slide : Slide
        The slide.
    header : mapping of str to object
        Of the nuclei, which says how tissue was found; where that was a file, it is found by the default way.
    """
    method = header.get("tissue", DEFAULT_TISSUE)
    found = tissue_mask(slide, method if method in TISSUES else DEFAULT_TISSUE)
    return [
        [(ring * found.scale).round(1).astype(float).ravel().tolist() for ring in rings]
        for rings in outlines(np.ascontiguousarray(found.mask))
    ]


def seams(slide: Slide, header: Mapping[str, Any]) -> dict[str, list[float]]:
    """Level-0 places of the lines between windows, across x and across y; none where the file does not say them."""
    pitch, scale = _pitch(header), _scale(slide, header)
    if pitch is None or scale is None:
        return {"x": [], "y": []}
    lines = {}
    for axis, length, by, step in zip(
        "xy", (slide.dimensions.width, slide.dimensions.height), scale, pitch, strict=True
    ):
        lines[axis] = [round(k * step * by, 2) for k in range(1, math.ceil(length / by / step))]
    return lines


def _pitch(header: Mapping[str, Any]) -> tuple[float, float] | None:
    """From line to line, in px that the network answers at."""
    window, margin = header.get("window_px"), as_number(header.get("margin_px"))
    if not isinstance(window, list | tuple) or len(window) != 2 or margin is None:
        return None
    sides = [as_number(side) for side in window]
    if sides[0] is None or sides[1] is None or min(sides[0], sides[1]) <= 2 * margin:
        return None
    return sides[0] - 2 * margin, sides[1] - 2 * margin


def _scale(slide: Slide, header: Mapping[str, Any]) -> tuple[float, float] | None:
    """Level-0 px per px that the network answers at."""
    answer, mpp = as_number(header.get("model_mpp")), header.get("slide_mpp")
    if isinstance(mpp, list | tuple) and len(mpp) == 2:
        own = as_number(mpp[0]), as_number(mpp[1])
    else:
        own = (slide.mpp.x, slide.mpp.y) if slide.mpp else (None, None)
    if not answer or not own[0] or not own[1]:
        return None
    return answer / own[0], answer / own[1]
