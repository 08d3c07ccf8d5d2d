"""Forecast and truth, next to each other: `python -m tests.benchmarks.forecast_truth list.csv --rounds 5`.

Plans the slides of a list and segments them, in this process, again and again, and prints for each round the load of
the machine, and for each slide what was said, what it took, and by how much the forecast was off. CPU time, which
other people's work hardly touches, is compared too: that of a window while it was measured, for all windows, with
that of the runs.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.forecast import pace
from wsi_nucssl.forecast.planning import plan_slides
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.run import Steps, segment_slide
from wsi_nucssl.slide_list import mpp_of, read_slide_list


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("list", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    listed = read_slide_list(given.list)
    slides, mpps = [each.slide for each in listed], mpp_of(listed)
    model = load_model()
    engine = open_engine(model)
    steps = Steps(open_engine=lambda *_: engine)
    spent = {"seconds": 0.0, "windows": 0}
    piece = pace._Work.piece

    def timed(*args: object) -> pace.Piece:
        begun = process_time()
        done = piece(*args)  # type: ignore[arg-type]
        spent["seconds"] += process_time() - begun
        spent["windows"] += done.windows
        return done

    pace._Work.piece = timed  # type: ignore[method-assign, assignment]
    off: dict[str, list[float]] = {slide.name: [] for slide in slides}
    for number in range(1, given.rounds + 1):
        spent.update(seconds=0.0, windows=0)
        targets = {slide: [Path("slide.geojson")] for slide in slides}
        found = plan_slides(targets, model, SegmentOptions(), mpps=mpps, check=False, steps=steps)
        cpu, taken = process_time(), []
        for slide in slides:
            options = replace(SegmentOptions(), mpp=mpps.get(slide))
            with tempfile.TemporaryDirectory() as folder:
                begun = perf_counter()
                segment_slide(slide, Path(folder) / "a.geojson", model, options, engine=engine, steps=steps)
                taken.append(perf_counter() - begun)
        windows = sum(each.windows for each in found.slides)
        of_cpu = spent["seconds"] / spent["windows"] * windows / (process_time() - cpu)
        print(f"round {number}, load {os.getloadavg()[0]:.1f}, CPU time {of_cpu - 1:+.0%}", flush=True)
        for slide, each, truth in zip(slides, found.slides, taken, strict=True):
            off[slide.name].append(each.seconds / truth - 1)
            print(
                f"  {slide.name}: {each.seconds:.1f} s said, {truth:.1f} s taken, {off[slide.name][-1]:+.0%}"
            )
    for name, values in off.items():
        print(f"{name}: median {median(values):+.0%}, {min(values):+.0%} to {max(values):+.0%}")


if __name__ == "__main__":
    main()
