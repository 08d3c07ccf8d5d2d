"""How much of the tissue the mask finds, and what else it takes: a table over slides made of real tissue.

    python -m tests.benchmarks.tissue_table $WSI_NUCSSL_SHARED/data/monuseg/images -o masks

prints a row for each picture of `tissue_pictures`, and with -o writes each with the mask's outline on it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tests.benchmarks.tissue_pictures import RECIPES, Picture, Recipe, fat, pictures
from wsi_nucssl.slide import TissueMask, thumbnail_with_mask, tissue_mask


@dataclass(frozen=True, slots=True)
class Found:
    """What a mask took of a picture.

    Attributes
    ----------
    recall : float
        Share of the nuclei's area that is in the mask.
    other : float
        Share of what is no tissue that is in the mask; its rim, as wide as the mask's smoothing, included.
    """

    recall: float
    other: float

    @classmethod
    def of(cls, picture: Picture, mask: TissueMask) -> Found:
        """Compare at level 0."""
        rows, cols = (
            np.minimum((np.arange(side) / mask.scale).astype(np.int64), last - 1)
            for side, last in zip(picture.tissue.shape, mask.mask.shape, strict=True)
        )
        taken = mask.mask[np.ix_(rows, cols)]
        return cls(float(taken[picture.nuclei].mean()), float(taken[~picture.tissue].mean()))


def measured(
    images: list[Path], recipes: Sequence[Recipe] = RECIPES
) -> Iterator[tuple[Picture, TissueMask, Found]]:
    """Each picture with its mask."""
    for picture in (fat(), *pictures(images, recipes)):
        mask = tissue_mask(picture.slide)
        yield picture, mask, Found.of(picture, mask)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="folder of images at 0.25 µm per px, labels in ../labels")
    parser.add_argument("-o", "--output", type=Path, help="folder for the pictures")
    arguments = parser.parse_args()
    print("| picture | nuclei's area in the mask | of what is no tissue |\n|---|---:|---:|")
    for picture, mask, found in measured(sorted(arguments.images.iterdir())):
        print(f"| {picture.name} | {found.recall:.3f} | {found.other:.4f} |", flush=True)
        if arguments.output:
            arguments.output.mkdir(parents=True, exist_ok=True)
            shown = thumbnail_with_mask(picture.slide, mask, 700)
            cv2.imwrite(str(arguments.output / f"{picture.name}.png".replace(" ", "_")), shown[..., ::-1])


if __name__ == "__main__":
    main()
