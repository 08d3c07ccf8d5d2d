"""GeoJSON as QuPath exports it, of rectangles and label images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import shapely
import shapely.geometry

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
    """The outline of each label along its px, in the order of the ids; a cell lies around its nucleus."""
    found = []
    for label in np.unique(labels[labels > 0]):
        px = np.argwhere(labels == label)
        nucleus = shapely.union_all(shapely.box(px[:, 1], px[:, 0], px[:, 1] + 1, px[:, 0] + 1))
        each = feature((0, 0, 1, 1), kind)
        each["geometry"] = shapely.geometry.mapping(nucleus.buffer(1) if kind == "cell" else nucleus)
        if kind == "cell":
            each["nucleusGeometry"] = shapely.geometry.mapping(nucleus)
        found.append(each)
    return found
