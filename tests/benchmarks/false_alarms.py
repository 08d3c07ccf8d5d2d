"""How often a right result is called doubtful: each image of some datasets, segmented at its true mpp.

python -m tests.benchmarks.false_alarms DATASET…
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import wsi_nucssl as wn
from wsi_nucssl.datasets import DEFAULT_MPP, open_dataset
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.models.weights import load_model


def main() -> None:
    """Print each doubt, and how many images there were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", type=Path, nargs="+")
    model = load_model()
    engine = open_engine(model, "cpu", "auto", 1)
    images = silent = 0
    for path in parser.parse_args().datasets:
        for sample in open_dataset(path):
            doubts = wn.segment(
                sample.image(), mpp=sample.mpp or DEFAULT_MPP, model=model, engine=engine
            ).doubts
            images, silent = images + 1, silent + (not doubts)
            for doubt in doubts:
                sys.stdout.write(f"{path.name} {sample.id}: {doubt}\n")
    sys.stdout.write(f"{silent} of {images} silent\n")


if __name__ == "__main__":
    main()
