"""What a tile scores inside a slide: `python -m tests.benchmarks.in_slide DATASET [--model NAME] [--images 8]`.

Images are laid out in rows of four on a slide: beside one another, with glass between them, and with black between
them. The slide is segmented as a whole, and each image's own px of the answer are scored. Printed: mean AJI alone and
in the slide, the mean difference, and the image that loses most. The rim is scored too, where a nucleus that touches
another image's may become one with it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.metrics import aji
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.segment.images import segment_image

COLUMNS: Final = 4
AROUND: Final = {"neighbours": (0, 0), "glass": (200, 243), "black": (200, 0)}
"""Gap in px, and its grey value."""


def laid_out(
    images: list[NDArray[np.uint8]], gap: int, grey: int
) -> tuple[NDArray[np.uint8], list[tuple[slice, slice]]]:
    """A picture of all images, and where each lies in it."""
    height = max(image.shape[0] for image in images) + gap
    width = max(image.shape[1] for image in images) + gap
    rows = -(-len(images) // COLUMNS)
    picture = np.full((rows * height + gap, COLUMNS * width + gap, 3), grey, np.uint8)
    places = []
    for number, image in enumerate(images):
        y, x = gap + number // COLUMNS * height, gap + number % COLUMNS * width
        places.append((slice(y, y + image.shape[0]), slice(x, x + image.shape[1])))
        picture[places[-1]] = image
    return picture, places


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--images", type=int, default=8)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    engine, config = open_engine(model), model.info.instances
    samples = list(open_dataset(arguments.dataset))[: arguments.images]
    pairs = [sample.pair_at(model.info.mpp) for sample in samples]
    alone = np.array([aji(labels, segment_image(engine, image, config)) for image, labels in pairs])
    print(f"{model.info.name}, {engine.name}, {len(pairs)} images, AJI alone {100 * alone.mean():.2f}")
    for name, (gap, grey) in AROUND.items():
        picture, places = laid_out([image for image, _ in pairs], gap, grey)
        found = segment_image(engine, picture, config)
        inside = np.array([aji(pair[1], found[place]) for pair, place in zip(pairs, places, strict=True)])
        change = 100 * (inside - alone)
        worst = int(change.argmin())
        print(
            f"{name}: {100 * inside.mean():.2f}, change {change.mean():+.2f}, "
            f"worst {change[worst]:+.2f} ({samples[worst].id})"
        )


if __name__ == "__main__":
    main()
