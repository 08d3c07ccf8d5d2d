"""Peak memory of the tile job does not grow with the slide.

python -m pytest tests/benchmarks/test_tile_memory.py -m benchmark --benchmark-enable -s
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

_JOB = """
import resource, sys
from pathlib import Path
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.slide import open_slide
from wsi_nucssl.tiles.ingest import TileConfig, ingest
with open_slide(sys.argv[1]) as slide:
    store = ingest(slide, Path(sys.argv[2]), TileConfig(Mpp.square(0.25), codec="jpeg"), workers=2)
print(len(store), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def test_peak_memory_is_flat(repeated_slide: Callable[[int], Path], tmp_path: Path) -> None:
    peak = {}
    for side in (20_000, 60_000):
        command = [sys.executable, "-c", _JOB, str(repeated_slide(side)), str(tmp_path / f"{side}.zarr")]
        tiles, peak[side] = map(float, subprocess.check_output(command, text=True).split())
        print(f"\n{side} × {side}: {tiles:.0f} tiles, peak {peak[side]:.0f} MiB")
    assert peak[60_000] < 1.15 * peak[20_000]
