"""The known nuclei of a scene as GeoJSON that QuPath opens."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sample_slides.scene import Scene
from wsi_nucssl.files import atomic_path
from wsi_nucssl.geometry import Box

_BAND_ROWS = 1024
_NAMESPACE = uuid.UUID("0d9d0d3e-3a54-4b8f-9a0e-5a1f6c1b7c55")
_CLASSIFICATION = {"name": "Nucleus", "color": [20, 160, 60]}


def write_truth(scene: Scene, path: Path) -> int:
    """Stream all nuclei of `scene` to `path` (`.geojson`, or `.geojson.gz` compressed); returns how many."""
    count = 0
    with (
        atomic_path(path) as partial,
        partial.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if path.suffix == ".gz" else raw as file,
    ):
        file.write(b'{"type": "FeatureCollection", "features": [')
        for polygon in _polygons(scene):
            file.write((",\n" if count else "\n").encode() + _feature(polygon))
            count += 1
        file.write(b"\n]}\n")
    return count


def read_truth(path: Path) -> list[NDArray[np.float64]]:
    """The closed outlines of a file that `write_truth` made, float64 (n, 2) of level-0 (x, y)."""
    raw = path.read_bytes()
    features = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)["features"]
    return [np.array(feature["geometry"]["coordinates"][0]) for feature in features]


def _polygons(scene: Scene) -> Iterator[NDArray[np.float64]]:
    for top in range(0, scene.size.height, _BAND_ROWS):
        yield from scene.polygons(Box(0, top, scene.size.width, min(top + _BAND_ROWS, scene.size.height)))


def _feature(polygon: NDArray[np.float64]) -> bytes:
    ring = np.round(polygon, 2).tolist()
    feature = {
        "type": "Feature",
        "id": str(uuid.uuid5(_NAMESPACE, str(ring))),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "detection", "classification": _CLASSIFICATION},
    }
    return json.dumps(feature, separators=(",", ":")).encode()
