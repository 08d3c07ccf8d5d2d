"""What a scanner, a stain or a hurried export may do to an image, to see what it costs the score.

Each perturbation takes an image and its labels and gives what a network is shown, and what its answer is held against.
They are fixed, so that figures made at different times compare; what is random in one is seeded by its name and
the image's id. Lengths are px of the image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.datasets.sample import Image, LabelImage
from wsi_nucssl.geometry import Box
from wsi_nucssl.nuclei.stain_vectors import stain_vectors

FRAME_PX: Final = 128
"""Width of the glass or of the black around an image."""
_GLASS: Final = 242
_GLASS_NOISE: Final = 1.5
_BLUR_PX: Final = 1.0
_JPEG_QUALITY: Final = 60
_HEMATOXYLIN, _EOSIN = 0, 1


@dataclass(frozen=True, slots=True)
class Scene:
    """What a network is shown, and what is scored.

    Attributes
    ----------
    image : Image
        RGB, uint8 (row, col, 3).
    true : LabelImage
        True nuclei in the scored part, int32 (row, col).
    scored : Box
        The scored part of the image, of the size of `true`.
    """

    image: Image
    true: LabelImage
    scored: Box

    @classmethod
    def whole(cls, image: NDArray[np.generic], true: LabelImage) -> Scene:
        """A scene that is scored all over."""
        rows, cols = true.shape
        return cls(np.ascontiguousarray(image, np.uint8), np.ascontiguousarray(true), Box(0, 0, cols, rows))


Change = Callable[[Image, LabelImage, np.random.Generator], Scene]


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One thing that may happen to an image.

    Attributes
    ----------
    name : str
        In tables and results.
    help : str
        What it does, in one line.
    change : Change
        Image (row, col, 3), labels (row, col) and a seeded generator to the scene.
    """

    name: str
    help: str
    change: Change

    def __call__(self, sample_id: str, image: Image, true: LabelImage) -> Scene:
        """The scene of an image, the same each time."""
        seed = hashlib.sha256(f"{self.name}\n{sample_id}".encode()).digest()
        return self.change(image, true, np.random.default_rng(list(seed)))


def _framed(image: Image, true: LabelImage, rng: np.random.Generator, *, level: int, noise: float) -> Scene:
    """The image in the middle of a larger one; only the image itself is scored."""
    rows, cols = true.shape
    size = (rows + 2 * FRAME_PX, cols + 2 * FRAME_PX, 3)
    canvas = _to_bytes(rng.normal(level, noise, size)) if noise else np.full(size, level, np.uint8)
    scored = Box(FRAME_PX, FRAME_PX, FRAME_PX + cols, FRAME_PX + rows)
    canvas[scored.rc] = image
    return Scene(canvas, true, scored)


def _coarse(image: Image, true: LabelImage, _rng: np.random.Generator) -> Scene:
    rows, cols = true.shape
    half = cv2.resize(image, (-(-cols // 2), -(-rows // 2)), interpolation=cv2.INTER_AREA)
    return Scene.whole(cv2.resize(half, (cols, rows), interpolation=cv2.INTER_CUBIC), true)


def _blurred(image: Image, true: LabelImage, _rng: np.random.Generator) -> Scene:
    blurred = cv2.GaussianBlur(image, (0, 0), _BLUR_PX, borderType=cv2.BORDER_REFLECT_101)
    return Scene.whole(blurred, true)


def _compressed(image: Image, true: LabelImage, _rng: np.random.Generator) -> Scene:
    data = imagecodecs.jpeg8_encode(np.ascontiguousarray(image), level=_JPEG_QUALITY, subsampling="420")
    return Scene.whole(imagecodecs.jpeg8_decode(data), true)


def _restained(
    image: Image, true: LabelImage, _rng: np.random.Generator, *, stain: int, gain: float
) -> Scene:
    """One stain's part of the optical density times `gain`; a channel of 0 counts as 1."""
    vectors = stain_vectors()
    density = -np.log10(np.maximum(image, 1) / 255)
    change = (gain - 1) * (density @ np.linalg.inv(vectors)[:, stain])
    restained = density + change[..., None] * vectors[stain]
    return Scene.whole(_to_bytes(255 * 10**-restained), true)


def _lit(image: Image, true: LabelImage, _rng: np.random.Generator, *, gain: float) -> Scene:
    return Scene.whole(_to_bytes(image * gain), true)


def _turned(image: Image, true: LabelImage, _rng: np.random.Generator) -> Scene:
    return Scene.whole(np.rot90(image), np.rot90(true))


def _scaled(image: Image, true: LabelImage, _rng: np.random.Generator, *, factor: float) -> Scene:
    """Image and labels `factor` times as large, pixel corners on pixel corners; labels take the nearest pixel."""
    rows, cols = (max(1, round(side * factor)) for side in true.shape)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    nearest = np.ix_(_nearest(true.shape[0], rows), _nearest(true.shape[1], cols))
    return Scene.whole(cv2.resize(image, (cols, rows), interpolation=how), true[nearest])


def _nearest(before: int, after: int) -> NDArray[np.int64]:
    """Index of the pixel among `before` that holds the centre of each of `after` pixels; int64 (after,)."""
    index: NDArray[np.int64] = (2 * np.arange(after) + 1) * before // (2 * after)
    return index


def _to_bytes(values: NDArray[np.floating]) -> Image:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


_ALL: Final = (
    Perturbation(
        "white-frame",
        f"{FRAME_PX} px of near-white glass on each side; the image itself is scored",
        partial(_framed, level=_GLASS, noise=_GLASS_NOISE),
    ),
    Perturbation(
        "black-frame",
        f"{FRAME_PX} px of zeros on each side, as outside a scan; the image itself is scored",
        partial(_framed, level=0, noise=0.0),
    ),
    Perturbation("half-resolution", "reduced to half its sides by area, enlarged again by bicubic", _coarse),
    Perturbation("blur", f"Gaussian blur, sigma {_BLUR_PX:g} px", _blurred),
    Perturbation("jpeg-60", f"JPEG at quality {_JPEG_QUALITY}, 4:2:0", _compressed),
    Perturbation(
        "hematoxylin-0.7",
        "hematoxylin × 0.7 in optical density",
        partial(_restained, stain=_HEMATOXYLIN, gain=0.7),
    ),
    Perturbation(
        "hematoxylin-1.3",
        "hematoxylin × 1.3 in optical density",
        partial(_restained, stain=_HEMATOXYLIN, gain=1.3),
    ),
    Perturbation("eosin-0.7", "eosin × 0.7 in optical density", partial(_restained, stain=_EOSIN, gain=0.7)),
    Perturbation("eosin-1.3", "eosin × 1.3 in optical density", partial(_restained, stain=_EOSIN, gain=1.3)),
    Perturbation("brightness-0.9", "every channel × 0.9", partial(_lit, gain=0.9)),
    Perturbation("brightness-1.1", "every channel × 1.1, cut off at white", partial(_lit, gain=1.1)),
    Perturbation("rotation-90", "turned by 90° counter-clockwise, exactly", _turned),
    Perturbation(
        "mpp-0.9",
        "the stated mpp is 0.9 of the true one: all looks 10 % smaller",
        partial(_scaled, factor=0.9),
    ),
    Perturbation(
        "mpp-1.1",
        "the stated mpp is 1.1 of the true one: all looks 10 % larger",
        partial(_scaled, factor=1.1),
    ),
)
PERTURBATIONS: Final = {each.name: each for each in _ALL}
"""All of them by name, in the order of tables."""
