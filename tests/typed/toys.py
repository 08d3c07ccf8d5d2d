"""Two types of nuclei that colour tells apart: scenes, a PanNuke fold of them, and an engine that knows them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.segment import fakes
from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.models.weights import Model
from wsi_nucssl.schema import typed
from wsi_nucssl.segment.windows import repeat_px

BLUE, GREEN = "Neoplastic", "Inflammatory"
COLOURS = {BLUE: (60, 60, 160), GREEN: (60, 150, 60)}
_PINK = (235, 200, 215)
_RADIUS = 8
_PITCH = 24


def scene(
    height: int, width: int, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.int32], dict[int, str]]:
    """RGB, labels and the type of each label: discs about a lattice, of both colours."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    labels = np.zeros((height, width), np.int32)
    image = np.empty((height, width, 3))
    image[:] = _PINK
    types: dict[int, str] = {}
    for y in range(_PITCH // 2, height, _PITCH):
        for x in range(_PITCH // 2, width, _PITCH):
            row, col = y + rng.integers(-3, 4), x + rng.integers(-3, 4)
            number, name = len(types) + 1, (BLUE, GREEN)[rng.integers(2)]
            near = slice(max(row - _RADIUS, 0), row + _RADIUS), slice(max(col - _RADIUS, 0), col + _RADIUS)
            disc = (rows[near] - row) ** 2 + (cols[near] - col) ** 2 < _RADIUS**2
            labels[near][disc], image[near][disc], types[number] = number, COLOURS[name], name
    image += rng.normal(0, 4, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels, types


def write_fold(root: Path, images: int = 3, side: int = 96) -> Path:
    """A PanNuke fold of scenes; returns the folder of the dataset."""
    fold = root / "fold1"
    fold.mkdir(parents=True)
    masks = np.zeros((images, side, side, 6), np.float64)
    pictures = []
    for index in range(images):
        image, labels, types = scene(side, side, index)
        pictures.append(image)
        for number, name in types.items():
            masks[index, ..., 0 if name == BLUE else 1][labels == number] = number
        masks[index, ..., 5] = labels == 0
    np.save(fold / "images.npy", np.stack(pictures).astype(np.float64))
    np.save(fold / "masks.npy", masks)
    return root


@dataclass(frozen=True, slots=True)
class ByColour(fakes.DarkIsNucleus):
    """Knows nuclei by darkness, and their types by colour, a little uncertain."""

    def predict(self, windows: Windows) -> BodyBoundary:
        planes = fakes.DarkIsNucleus.predict(self, windows)
        blue = [
            repeat_px(np.where(each[..., 2] > each[..., 1], 230, 20).astype(np.uint8), self.upscale)
            for each in windows
        ]
        first = np.stack(blue)
        return np.concatenate([planes, np.stack([first, 255 - first], axis=1)], axis=1)


def model() -> Model:
    """A model without a file that tells the two types apart."""
    plain = fakes.model()
    return replace(plain, info=replace(plain.info, schema=typed([BLUE, GREEN])))
