"""Time and memory of an overlay of 500,000 nuclei: `python -m tests.benchmarks.overlay_large`."""

from __future__ import annotations

import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from wsi_nucssl.export.reading import NucleiFile
from wsi_nucssl.segment.overlay import _draw

COUNT, VERTICES = 500_000, 30


def write(path: Path) -> None:
    """Circles on a grid, with the measurements of a short file."""
    angle = np.linspace(0, 2 * np.pi, VERTICES)
    circle = np.round(np.stack([np.cos(angle), np.sin(angle)], 1) * 12, 2)
    with path.open("w") as file:
        file.write('{"type":"FeatureCollection","wsi_nucssl":{"origin_l0":[0,0]},"features":[')
        for n in range(COUNT):
            ring = np.round(circle + np.array([30 * (n % 1000) + 20, 30 * (n // 1000) + 20]), 2).tolist()
            properties = {"objectType": "detection", "measurements": {"Area µm^2": 28.0, "Circularity": 0.97}}
            feature = {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": properties,
            }
            file.write(("," if n else "") + "\n" + json.dumps(feature))
        file.write("\n]}\n")


def main() -> None:
    """Print seconds and MB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "n.geojson"
        write(path)
        picture = np.full((1000, 1000, 3), 255, np.uint8)
        _draw(picture, NucleiFile(path), 1.0, (5000, 5000))  # compiles
        start = time.perf_counter()
        _draw(picture, NucleiFile(path), 1.0, (5000, 5000))
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{path.stat().st_size >> 20} MiB of GeoJSON: {seconds:.1f} s, {peak:.0f} MB at the most")


if __name__ == "__main__":
    main()
