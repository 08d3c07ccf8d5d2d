"""Where the time of `segment` goes: `python -m tests.benchmarks.stage_shares SLIDE`.

Segments a slide in this process and prints the CPU time of each stage: starting, that is, the interpreter and imports;
reading and resampling; keeping windows; extraction; writing; and what is left, above all the network, whose threads
are its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.export.features import FeatureFormatter
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.nuclei.seams import extract_block
from wsi_nucssl.segment.blending import keep_window
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.probabilities import ProbabilityStore
from wsi_nucssl.segment.run import segment_slide
from wsi_nucssl.slide import Canvas, tissue_mask

STARTED = time.process_time()
seconds: dict[str, float] = defaultdict(float)
inside = threading.local()


def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose CPU time counts for `stage`, unless another stage called it."""

    def run(*args: Any, **kwargs: Any) -> Any:
        if getattr(inside, "stage", None):
            return function(*args, **kwargs)
        inside.stage, begun = stage, time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[stage] += time.thread_time() - begun
            inside.stage = None

    return run


def replace(function: Callable[..., Any], stage: str) -> None:
    """Time a function wherever a module of ours has it by name."""
    for name, module in [*sys.modules.items()]:
        if name.startswith("wsi_nucssl"):
            for attribute, value in [*vars(module).items()]:
                if value is function:
                    setattr(module, attribute, timed(stage, function))


def main() -> None:
    """Print a row for each stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()
    Canvas.read = timed("reading", Canvas.read)  # type: ignore[method-assign]
    ProbabilityStore.write = timed("keeping windows", ProbabilityStore.write)  # type: ignore[method-assign]
    replace(tissue_mask, "tissue mask")
    replace(keep_window, "keeping windows")
    replace(extract_block, "extraction")
    FeatureFormatter.format = timed("writing", FeatureFormatter.format)  # type: ignore[method-assign]
    model = load_model(arguments.model)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        summary = segment_slide(
            arguments.slide,
            Path(folder, "out.geojson"),
            model,
            SegmentOptions(),
            engine=open_engine(model),
        )
    wall, total = time.perf_counter() - begun, time.process_time()
    seconds["starting"] = STARTED
    seconds["network and the rest"] = total - sum(seconds.values())
    print(f"{summary.nuclei} nuclei; {wall:.1f} s after starting, {total:.1f} s of CPU time in all")
    for stage, each in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"{stage}: {each:.2f} s, {each / total:.0%}")


if __name__ == "__main__":
    main()
