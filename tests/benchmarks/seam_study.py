"""What window seams cost: `python -m tests.benchmarks.seam_study DATASET [--model NAME] [--core 256]`.

Each validation image of the model, or each image where it held none out, is predicted twice, with the window grid where
it is and moved by half a window. Printed for each margin and blend: the mean difference of the body probability (in
255ths) within 8 px of a seam, and at least an eighth of a core away from all seams; its mean step from px to px across
the seams, over that elsewhere; and how much the mean AJI moves. Cores of 256 px make seams four times denser than on
slides, which do better.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.geometry import Point, Size
from wsi_nucssl.metrics import aji
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.nuclei.instances import label_instances
from wsi_nucssl.segment.images import predict_image
from wsi_nucssl.segment.windows import WindowGrid

SETTINGS = ((0, 0), (16, 0), (32, 0), (48, 0), (64, 0), (96, 0), (64, 8), (64, 16), (64, 32), (64, 64))
"""Margin and blend, in px."""
NEAR_PX = 8


def seam_distance(side: int, core: int) -> NDArray[np.int64]:
    """Distance in px of each position along an axis from the nearest line at a multiple of `core`."""
    place = np.arange(side) % core
    return np.minimum(place, core - 1 - place)


def seam_step(plane: NDArray[np.uint8], core: int) -> float:
    """Mean step from px to px across the lines at multiples of `core`, over that across all lines of even number."""
    on, elsewhere = [], []
    for axis in (0, 1):
        step = np.abs(np.diff(plane.astype(int), axis=axis)).mean(axis=1 - axis)[
            1::2
        ]  # between px 1 and 2, 3 and 4 …
        seams = np.arange(core // 2 - 1, len(step), core // 2)
        on.append(step[seams])
        elsewhere.append(np.delete(step, seams))
    return float(np.concatenate(on).mean() / np.concatenate(elsewhere).mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--core", type=int, default=256)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    dataset = open_dataset(arguments.dataset)
    held_out = [entry["id"] for entry in model.info.provenance["split"]["validation"]]
    pairs = [sample.pair_at(model.info.mpp) for sample in (dataset.subset(held_out) if held_out else dataset)]
    engine = open_engine(model)
    core = arguments.core
    print(f"{model.info.name}, {engine.name}, {len(pairs)} images, cores of {core} px")
    print(
        "margin  blend  near seams  far away  step  AJI  AJI shifted  |change|  AJI of one run against the other"
    )
    for margin, blend in SETTINGS:
        near, far, steps, plain, moved, between = [], [], [], [], [], []
        for image, truth in pairs:
            extent = Size(image.shape[1], image.shape[0])
            grids = [
                WindowGrid(extent, Size(core, core), margin, Point(s, s), engine.upscale, blend)
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
            steps.append(seam_step(planes[0][0], core))
            plain.append(aji(truth, labels[0]))
            moved.append(aji(truth, labels[1]))
            between.append(aji(labels[0], labels[1]))
        print(
            f"{margin:6d}  {blend:5d}  {np.mean(near):10.3f}  {np.mean(far):8.3f}  {np.mean(steps):.2f}  "
            f"{np.mean(plain):.4f}  {np.mean(moved):11.4f}  {abs(np.mean(plain) - np.mean(moved)):8.4f}  "
            f"{np.mean(between):.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
