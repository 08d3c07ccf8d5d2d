"""Where a frame costs: `python -m tests.benchmarks.frame_bands DATASET [--model NAME] [--images 16]`.

Foreground's Jaccard index in %, and the area called nucleus by that of true nuclei, in bands of px from an image's
edge: bare, in a white frame, and in a black one. Mean over images.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.benchmark.stress import PERTURBATIONS, Scene
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.segment.images import segment_image

EDGES: Final = (0, 2, 4, 8, 16, 32, 64, 128)
FRAMES: Final = ("white-frame", "black-frame")


def depth(shape: tuple[int, int]) -> NDArray[np.int64]:
    """Px from the nearest edge, (row, col)."""
    rows, cols = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in shape)
    return np.minimum(rows[:, None], cols[None])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--images", type=int, default=16)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    engine, config = open_engine(model), model.info.instances
    found: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for sample in list(open_dataset(arguments.dataset))[: arguments.images]:
        image, labels = sample.pair_at(model.info.mpp)
        scenes = {name: PERTURBATIONS[name](sample.id, image, labels) for name in FRAMES}
        for name, scene in {"bare": Scene.whole(image, labels), **scenes}.items():
            called = segment_image(engine, scene.image, config)[scene.scored.rc] > 0
            for band, (near, far) in enumerate(pairwise(EDGES)):
                within = (depth(labels.shape) >= near) & (depth(labels.shape) < far)
                nucleus, ours = (labels > 0)[within], called[within]
                if nucleus.any():
                    jaccard = (nucleus & ours).sum() / (nucleus | ours).sum()
                    found.setdefault((band, name), []).append((100 * jaccard, ours.sum() / nucleus.sum()))
    print(f"{model.info.name}, {engine.name}: Jaccard (area)")
    for band, (near, far) in enumerate(pairwise(EDGES)):
        means = {name: np.mean(found[band, name], axis=0) for name in ("bare", *FRAMES)}
        cells = (f"{name} {jaccard:.2f} ({area:.2f})" for name, (jaccard, area) in means.items())
        print(f"{near} to {far} px: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
