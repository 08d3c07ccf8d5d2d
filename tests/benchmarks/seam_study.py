"""What window seams cost, by margin: `python -m tests.benchmarks.seam_study DATASET [--model NAME] [--core 256]`.

Each image is predicted twice, with the window grid where it is and moved by half a window. Printed for each margin: the
mean difference of the body probability (in 255ths) within 8 px of a seam, and at least an eighth of a core away from
all seams; and how much the mean AJI moves. Cores of 256 px make seams four times denser than on slides, which do
better.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.geometry import Point, Size
from wsi_nucssl.metrics import aji
from wsi_nucssl.models.weights import DEFAULT_MODEL, load_model
from wsi_nucssl.nuclei.instances import label_instances
from wsi_nucssl.segment.engine import open_engine
from wsi_nucssl.segment.images import predict_image
from wsi_nucssl.segment.windows import WindowGrid

MARGINS = (0, 16, 32, 48, 64, 96)
NEAR_PX = 8


def seam_distance(side: int, core: int) -> NDArray[np.int64]:
    """Distance in px of each position along an axis from the nearest line at a multiple of `core`."""
    place = np.arange(side) % core
    return np.minimum(place, core - 1 - place)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--core", type=int, default=256)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    held_out = [entry["id"] for entry in model.info.provenance["split"]["validation"]]
    pairs = [sample.pair() for sample in open_dataset(arguments.dataset).subset(held_out)]
    engine = open_engine(model)
    core = arguments.core
    print(f"{model.info.name}, {engine.name}, {len(pairs)} images, cores of {core} px")
    print("margin  near seams  far away  AJI  AJI shifted  |change|  AJI of one run against the other")
    for margin in MARGINS:
        near, far, plain, moved, between = [], [], [], [], []
        for image, truth in pairs:
            extent = Size(image.shape[1], image.shape[0])
            grids = [
                WindowGrid(extent, Size(core, core), margin, Point(s, s), engine.upscale)
                for s in (0, core // 2)
            ]
            planes = [predict_image(engine, image, grid) for grid in grids]
            labels = [label_instances(each, model.info.instances) for each in planes]
            difference = np.abs(planes[0][0].astype(int) - planes[1][0])
            distance = np.minimum(
                *np.meshgrid(*(seam_distance(n, core // 2) for n in difference.shape[::-1]))
            )
            near.append(difference[distance < NEAR_PX].mean())
            far.append(difference[distance >= core // 8].mean())
            plain.append(aji(truth, labels[0]))
            moved.append(aji(truth, labels[1]))
            between.append(aji(labels[0], labels[1]))
        print(
            f"{margin:6d}  {np.mean(near):10.3f}  {np.mean(far):8.3f}  {np.mean(plain):.4f}  {np.mean(moved):11.4f}  "
            f"{abs(np.mean(plain) - np.mean(moved)):8.4f}  {np.mean(between):.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
