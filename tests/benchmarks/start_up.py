"""What starting costs: `python -m tests.benchmarks.start_up [--runs N]`.

In turn, each in a process of its own: importing the five libraries that segmenting cannot do without, and `wsi-nucssl
segment` of 400 × 300 px of the sample slide. Prints medians of wall and CPU time, the median of the ratios pair by
pair, and how long the command takes until something stands on the screen. What the command keeps between runs is there
from a first run that does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pty
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from tests.segment.fakes import write_slide
from wsi_nucssl.geometry import Box
from wsi_nucssl.slide import open_slide

ROOT = Path(__file__).parent.parent.parent
SAMPLE = ROOT / "sample_slides" / "sample.svs"
IMPORTS = (sys.executable, "-c", "import numpy, openvino, zarr, cv2, numba")


@dataclass(frozen=True)
class Run:
    """Seconds of wall and CPU time of a process, and until something stands on the screen, 0 if nothing does."""

    wall: float
    cpu: float
    first_sign: float


def timed(*command: str | Path) -> Run:
    """Run to the end before a terminal of its own; what it says is thrown away."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    screen, terminal = pty.openpty()
    begun = perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal) as process:
        os.close(terminal)
        first_sign = 0.0
        with contextlib.suppress(OSError):  # the other end is closed
            while os.read(screen, 4096):
                first_sign = first_sign or perf_counter() - begun
    wall = perf_counter() - begun
    os.close(screen)
    assert process.returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, first_sign)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    count = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder, open_slide(SAMPLE) as slide:
        crop = write_slide(Path(folder, "crop.tif"), slide.read_level(0, Box(1000, 1000, 1400, 1300)))
        output = Path(folder, "out.geojson")
        segment = (sys.executable, "-m", "wsi_nucssl_cli", "segment", crop, "-o", output, "--overwrite")
        timed(*IMPORTS), timed(*segment)
        pairs = [(timed(*IMPORTS), timed(*segment)) for _ in range(count)]
    imports, runs = zip(*pairs, strict=True)
    for name, each in (("five imports", imports), ("segment", runs)):
        print(f"{name}: {median(r.wall for r in each):.2f} s, CPU {median(r.cpu for r in each):.2f} s")
    wall = median(run.wall / bare.wall for bare, run in pairs)
    cpu = median(run.cpu / bare.cpu for bare, run in pairs)
    print(f"ratio, pair by pair: {wall:.2f} of wall time, {cpu:.2f} of CPU time")
    print(f"first sign on the screen after {median(run.first_sign for run in runs):.2f} s")


if __name__ == "__main__":
    main()
