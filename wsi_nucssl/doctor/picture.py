"""A picture whose nuclei are known, drawn by integer arithmetic: the same bytes everywhere.

Dark ellipses on a jittered grid over pink tissue, with glass around. Nothing is read from a file, and no library has a
say in a pixel; the random numbers are those of `numpy.random.RandomState`, whose stream is frozen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import tifffile
from numpy.typing import NDArray

MPP: Final = 0.25
"""µm per px of the picture."""

_SIDE: Final = 768
_GLASS_PX: Final = 64
_STEP: Final = 56
"""Between the centres of neighbours, before they are jittered."""
_SEED: Final = 20
_GLASS: Final = (244, 243, 245)
_EOSIN: Final = (226, 168, 200)
_HEMATOXYLIN: Final = (92, 58, 138)
_EDGE: Final = 64
"""Part of a nucleus's squared radius, in 256ths, over which its colour fades."""


def draw() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The picture, uint8 RGB (row, col, 3), and the centres of its nuclei, int64 (n, 2) of (x, y)."""
    random = np.random.RandomState(_SEED)
    image = np.empty((_SIDE, _SIDE, 3), np.int64)
    image[:] = _GLASS
    tissue = slice(_GLASS_PX, _SIDE - _GLASS_PX)
    image[tissue, tissue] = _EOSIN
    image[tissue, tissue] += 2 * _patches(random, _SIDE - 2 * _GLASS_PX)[..., None]
    centres = _centres(random)
    for x, y in centres.tolist():
        _draw_nucleus(image, x, y, int(random.randint(13, 18)), int(random.randint(11, 15)), random)
    image += random.randint(-4, 5, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), centres


def write_picture(path: Path) -> NDArray[np.int64]:
    """Write the picture as a tiled TIFF that states its resolution; returns the centres of its nuclei."""
    image, centres = draw()
    per_cm = 10_000 / MPP
    tifffile.imwrite(
        path,
        image,
        tile=(256, 256),
        photometric="rgb",
        compression="deflate",
        resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
        metadata=None,
    )
    return centres


def _centres(random: np.random.RandomState) -> NDArray[np.int64]:
    first, last = _GLASS_PX + _STEP // 2, _SIDE - _GLASS_PX - _STEP // 2
    grid = np.stack(np.meshgrid(*[np.arange(first, last + 1, _STEP)] * 2), axis=-1).reshape(-1, 2)
    moved: NDArray[np.int64] = grid + random.randint(-7, 8, grid.shape)
    return moved


def _patches(random: np.random.RandomState, side: int) -> NDArray[np.int64]:
    """Slow changes of colour, as fibres make them: (side, side) from −6 to 6."""
    coarse = random.randint(-6, 7, (side // 16 + 1, side // 16 + 1))
    return np.kron(coarse, np.ones((16, 16), np.int64))[:side, :side]


def _draw_nucleus(
    image: NDArray[np.int64], x: int, y: int, across: int, along: int, random: np.random.RandomState
) -> None:
    """Blend an ellipse of half axes `across` (along x) and `along` (along y) px into the picture; its edge fades."""
    reach = max(across, along) + 6
    box = image[y - reach : y + reach + 1, x - reach : x + reach + 1]
    offset = np.arange(-reach, reach + 1)
    radius = offset**2 * 256 // across**2 + offset[:, None] ** 2 * 256 // along**2  # 256 on the outline
    part = np.clip((256 + _EDGE - radius) * 256 // (2 * _EDGE), 0, 256)[..., None]
    chromatin = random.randint(-14, 15, (*radius.shape, 1))
    box[:] = (box * (256 - part) + (np.array(_HEMATOXYLIN) + chromatin) * part) // 256
