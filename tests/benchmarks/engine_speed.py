"""Seconds a window of 1152 px takes in OpenVINO, by architecture: `python -m tests.benchmarks.engine_speed`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np

from wsi_nucssl.engines.exporting import export_graph
from wsi_nucssl.engines.openvino_engine import OpenVinoEngine
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.spec import ARCHITECTURES

WINDOWS = 12
SIDE_PX = 1152


def main() -> None:
    """Print a line for each architecture; untrained weights take as long as trained ones."""
    window = np.random.default_rng(0).integers(0, 256, (1, SIDE_PX, SIDE_PX, 3), np.uint8)
    for arch in ARCHITECTURES:
        engine = OpenVinoEngine(export_graph(build(arch)), ARCHITECTURES[arch].upscale, exact_division=True)
        engine.predict(window)
        begun = perf_counter()
        with ThreadPoolExecutor(engine.streams) as pool:
            list(pool.map(engine.predict, [window] * WINDOWS))
        print(f"{arch}: {(perf_counter() - begun) / WINDOWS:.3f} s a window, {engine.name}", flush=True)


if __name__ == "__main__":
    main()
