"""Peak memory of `wsi-nucssl tile` does not grow with the slide.

python -m pytest tests/benchmarks/test_tile_memory.py -m benchmark --benchmark-enable -s
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

MPP = "0.26"
"""Not the slide's own: as on real slides, pixels are resampled, on the small one as on the large."""


def peak_mib(*words: str | Path) -> float:
    """Peak memory of a command, by the operating system's own account."""
    process = subprocess.Popen([sys.executable, "-m", "wsi_nucssl_cli", *map(str, words)])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1024


def test_peak_memory_is_flat(repeated_slide: Callable[[int], Path], tmp_path: Path) -> None:
    peak = {}
    for side in (20_000, 60_000):
        slide = repeated_slide(side)
        peak[side] = peak_mib(
            "tile", slide, "-o", tmp_path, "--mpp", MPP, "--codec", "jpeg", "--workers", "2"
        )
        print(f"\n{side} × {side}: peak {peak[side]:.0f} MiB")
    assert peak[60_000] < 1.05 * peak[20_000]
