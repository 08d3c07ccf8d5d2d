"""A slide's density as measurements that QuPath imports: a tile for each value, where QuPath shows and colours it."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.files import atomic_path
from wsi_nucssl.slide import Slide, identity

MEASUREMENT: Final = "Density score"
_SPACE: Final = uuid.UUID("6f1d3f5e-0c55-4b3e-9f0e-0d1a5e3a7b52")


def write_tiles(path: Path, density: NDArray[np.float32], slide: Slide, mpp: float, cell_px: int) -> None:
    """Write the values of a density map as GeoJSON of QuPath's tiles, one line each; NaN gives none.

    Parameters
    ----------
    path : Path
        The file, written whole or not at all.
    density : ndarray of float32
        (row, col).
    slide : Slide
        What it is of; coordinates count from its bounds, as QuPath's do.
    mpp : float
        µm per px of the canvas that it was computed on.
    cell_px : int
        px of that canvas along a side of a value.

    Raises
    ------
    ResourceError
        The disk is full.
    """
    assert slide.mpp is not None  # the density was computed at a resolution
    name, corner, size = identity(slide), slide.bounds.origin, slide.dimensions
    step_x, step_y = cell_px * mpp / slide.mpp.x, cell_px * mpp / slide.mpp.y
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(b'{"type":"FeatureCollection","features":[')
        first = True
        for row, col in np.argwhere(np.isfinite(density)).tolist():
            x = _side(col * step_x, (col + 1) * step_x, size.width, corner.x)
            y = _side(row * step_y, (row + 1) * step_y, size.height, corner.y)
            tile = _tile(uuid.uuid5(_SPACE, f"{name} {row} {col}"), x, y, float(density[row, col]))
            file.write((b"\n" if first else b",\n") + orjson.dumps(tile))
            first = False
        file.write(b"\n]}\n")


def _side(low: float, high: float, length: int, corner: int) -> tuple[float, float]:
    return round(low - corner, 2), round(min(high, length) - corner, 2)


def _tile(
    identifier: uuid.UUID, x: tuple[float, float], y: tuple[float, float], value: float
) -> dict[str, Any]:
    ring = [[x[0], y[0]], [x[1], y[0]], [x[1], y[1]], [x[0], y[1]], [x[0], y[0]]]
    return {
        "type": "Feature",
        "id": str(identifier),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "tile", "measurements": {MEASUREMENT: round(value, 5)}},
    }
