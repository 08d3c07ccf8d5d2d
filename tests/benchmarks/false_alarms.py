"""How often a right result is called doubtful, and a wrong one not: each image of some datasets, segmented.

    python -m tests.benchmarks.false_alarms DATASET… [--model NAME] [--reduce 4]

With `--reduce N` each is made smaller N times and said to have the mpp that it had.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

import wsi_nucssl as wn
from wsi_nucssl.datasets import DEFAULT_MPP, open_dataset
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.nuclei.plausible import FEWEST_SURE


def main() -> None:
    """Print each doubt, how many images there were, and how sure the network was of their nuclei."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--model")
    parser.add_argument("--reduce", type=int, default=1)
    given = parser.parse_args()
    model = load_model(given.model) if given.model else load_model()
    engine = open_engine(model, "cpu", "auto", 1)
    images = silent = 0
    medians: list[float] = []
    for path in given.datasets:
        for sample in open_dataset(path):
            image = sample.image()
            size = image.shape[1] // given.reduce, image.shape[0] // given.reduce
            reduced = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            result = wn.segment(reduced, mpp=sample.mpp or DEFAULT_MPP, model=model, engine=engine)
            images, silent = images + 1, silent + (not result.doubts)
            if len(result.table) >= FEWEST_SURE:
                medians.append(float(result.table["probability"].median()))
            for doubt in result.doubts:
                sys.stdout.write(f"{path.name} {sample.id}: {doubt}\n")
    sys.stdout.write(f"{silent} of {images} silent\n")
    if medians:
        low, middle, high = np.percentile(medians, (0, 50, 100))
        sys.stdout.write(
            f"median probability, {len(medians)} images of {FEWEST_SURE} nuclei and more: {low:.3f} to {high:.3f}, "
            f"median {middle:.3f}\n"
        )


if __name__ == "__main__":
    main()
