"""Time and memory of an overlay of 500,000 nuclei: `python -m tests.benchmarks.overlay_large`."""

from __future__ import annotations

import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from wsi_nucssl.segment.drawable import open_drawable
from wsi_nucssl.segment.overlay import OverlayStyle, _draw_density, _draw_outlines, _View

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


SHOWN = {
    "a region": (_draw_outlines, _View(np.full((1000, 1000, 3), 255, np.uint8), 1.0, (5000, 5000), 0.25)),
    "the slide": (_draw_density, _View(np.full((760, 1520, 3), 255, np.uint8), 0.05, (0, 0), 5.0)),
}


def main() -> None:
    """Print seconds and MB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "n.geojson"
        write(path)
        size = path.stat().st_size >> 20
        for name, (draw, view) in SHOWN.items():
            start, cpu = time.perf_counter(), time.process_time()
            draw(view, open_drawable(path), OverlayStyle())
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{name}, {size} MiB: {seconds:.1f} s, {cpu:.1f} s of a core, {peak:.0f} MB at the most")


if __name__ == "__main__":
    main()
