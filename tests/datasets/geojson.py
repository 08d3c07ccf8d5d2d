"""GeoJSON as QuPath exports it, of rectangles and label images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 on px corners."""


def feature(box: Box, kind: str = "annotation", name: str | None = None, **more: Any) -> dict[str, Any]:
    """A rectangle as one of QuPath's objects."""
    return {
        "type": "Feature",
        "id": "c1e1b4e0-0000-4000-8000-000000000000",
        "geometry": polygon(box),
        "properties": {
            "objectType": kind,
            **({"classification": {"name": name, "color": [200, 0, 0]}} if name else {}),
        },
        **more,
    }


def polygon(box: Box) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    return {"type": "Polygon", "coordinates": [[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]]}


def write(path: Path, features: Iterable[Mapping[str, Any]], **envelope: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"type": "FeatureCollection", **envelope, "features": [*features]}
    path.write_bytes(orjson.dumps(content))
    return path


def of_labels(labels: np.ndarray, kind: str = "annotation") -> list[dict[str, Any]]:
    """Each label as the squares of its px, in the order of the ids."""
    found = []
    for label in np.unique(labels[labels > 0]):
        px = [polygon((x, y, x + 1, y + 1))["coordinates"] for y, x in np.argwhere(labels == label)]
        each = feature((0, 0, 1, 1), kind)
        each["geometry"] = {"type": "MultiPolygon", "coordinates": px}
        found.append(each)
    return found
