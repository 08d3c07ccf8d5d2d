"""How much of `wsi-nucssl segment` is the network: `python -m tests.benchmarks.segment_share SLIDE [--model NAME]`.

Runs the whole command in a process of its own, from the interpreter's start to the file's last byte, and takes its
wall time and peak memory. Then the network alone predicts as many windows of the same slide, already in memory. Prints
the ratio.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

from wsi_nucssl.engines.base import predict_batch
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.segment.plan import make_plan
from wsi_nucssl.segment.windows import read_window
from wsi_nucssl.slide import Canvas, open_slide, tissue_mask

IN_MEMORY = 8


def whole_command(slide: Path, model: str, mpp: float | None) -> tuple[float, float, str]:
    """Wall seconds, peak GiB and the last lines of the command."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "wsi_nucssl_cli",
            "segment",
            str(slide),
            "-o",
            f"{folder}/out.geojson",
        ]
        command += ["--model", model, "-v", *(["--mpp", str(mpp)] if mpp else [])]
        begun = perf_counter()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        seconds = perf_counter() - begun
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, done.stdout


def network_alone(slide: Path, model_name: str, mpp: float | None) -> tuple[float, int]:
    """Seconds that the network needs for all windows of the slide, and their number."""
    model = load_model(model_name)
    engine = open_engine(model)
    with open_slide(slide, mpp=mpp) as opened:
        canvas = Canvas(opened, Mpp.square(model.info.input_mpp))
        plan = make_plan(canvas, tissue_mask(opened), upscale=engine.upscale)
        windows = [read_window(canvas.read, tile, plan.windows) for tile in plan.selected[:IN_MEMORY]]
    predict_batch(engine, windows[:1], 1)
    begun = perf_counter()
    with ThreadPoolExecutor(engine.streams) as pool:
        cycle = (windows[number % len(windows)] for number in range(len(plan.selected)))
        list(pool.map(lambda window: predict_batch(engine, [window], 1), cycle))
    return perf_counter() - begun, len(plan.selected)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--mpp", type=float)
    arguments = parser.parse_args()
    whole, peak, lines = whole_command(arguments.slide, arguments.model, arguments.mpp)
    alone, windows = network_alone(arguments.slide, arguments.model, arguments.mpp)
    print(lines.rstrip())
    print(
        f"{windows} windows: network alone {alone:.1f} s / whole command {whole:.1f} s = {alone / whole:.2f}"
    )
    print(f"peak memory of the command: {peak:.2f} GiB")


if __name__ == "__main__":
    main()
