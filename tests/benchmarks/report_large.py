"""Time and memory of a report of a million nuclei: `python -m tests.benchmarks.report_large`."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tifffile

from wsi_nucssl.export.base import ExportContext
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.geometry import Box, Mpp, Size
from wsi_nucssl.grid import TileGrid
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.report.slide_report import SlideReport
from wsi_nucssl.segment.reporting import Subject
from wsi_nucssl.segment.seam_figure import SeamFigure
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.slide import TissueMask, open_slide

COUNT, VERTICES, SIDE, BLOCK = 1_000_000, 30, 49_152, 4096
ZOOM = 24
"""Canvas px per px of the slide: a small picture stands for a large slide."""


def table(corner: tuple[int, int], count: int) -> Nuclei:
    """Circles at random in one block."""
    chance = np.random.default_rng(corner)
    angle = np.linspace(0, 2 * np.pi, VERTICES)
    circle = np.rint(np.stack([np.cos(angle), np.sin(angle)], 1) * 14).astype(np.int32)
    circle[-1] = circle[0]
    places = chance.integers(20, BLOCK - 20, (count, 2)).astype(np.int32) + np.array(corner, np.int32)
    measured = chance.random((count, 9)).astype(np.float32)
    measured[:, 0] = chance.gamma(6, 100, count)
    return Nuclei(
        places.astype(np.int64),
        (places[:, None] + circle).reshape(-1, 2),
        np.arange(count + 1) * VERTICES,
        np.arange(count + 1),
        measured,
        np.zeros(count, np.bool_),
    )


def main() -> None:
    """Print seconds of a core and MB."""
    corners = [(x, y) for y in range(0, SIDE, BLOCK) for x in range(0, SIDE, BLOCK)]
    each = COUNT // len(corners)
    with tempfile.TemporaryDirectory() as name:
        path, small = Path(name) / "large.tif", SIDE // ZOOM
        picture = np.random.default_rng(0).integers(150, 255, (small, small, 3), np.uint8)
        tifffile.imwrite(path, picture, tile=(256, 256), photometric="rgb")
        with open_slide(path, mpp=0.25 * ZOOM, force_mpp=True) as slide:
            context = ExportContext(CanvasTransform(1 / ZOOM, 1 / ZOOM), Mpp.square(0.25), "x", {})
            windows = TileGrid(Size(SIDE, SIDE), Size(1024, 1024))
            tissue = TissueMask.everywhere(slide)
            watch = SlideReport(Subject(Path(name) / "n.report.html", slide, tissue, context, windows))
            before, seen = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
            for corner in corners:
                nuclei = table(corner, each)
                begun = time.process_time()
                watch.see(nuclei)
                seen += time.process_time() - begun

            def near(boxes: Sequence[Box]) -> Iterator[Nuclei]:
                for x, y in corners:
                    if any(box.overlaps(Box(x, y, x + BLOCK, y + BLOCK)) for box in boxes):
                        yield table((x, y), each)

            summary = SegmentSummary(
                {Path("n.geojson"): "0" * 64}, COUNT, 150.0, 600.0, 400.0, SeamFigure(), 30.0
            )
            begun = time.process_time()
            watch.write(summary, {"network": 400.0}, near)
            wrote = time.process_time() - begun
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        size = (Path(name) / "n.report.html").stat().st_size / 1e6
        took = f"seen in {seen:.1f} s, written in {wrote:.1f} s of a core"
        print(f"{COUNT} nuclei: {took}, {grown:.0f} MB more, a page of {size:.2f} MB")


if __name__ == "__main__":
    main()
