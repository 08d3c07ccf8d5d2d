"""Vary a training crop: geometry in one resampling, stains in optical-density space, optics last."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.color import hed_from_rgb, rgb_from_hed

from wsi_nucssl.train.recipe import Augmentation

_RGB_FROM_HED: Final = np.asarray(rgb_from_hed, np.float32)
_HED_FROM_RGB: Final = np.asarray(hed_from_rgb, np.float32)
_OD: Final = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)


def random_crop(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint16],
    size: int,
    settings: Augmentation,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """A random view of an image (row, col, 3) and its label image (row, col), both `size` × `size`.

    Rotation, mirror, zoom, shear and elastic displacement are one mapping, so that pixels are resampled once; labels
    take the nearest pixel. What the mapping asks for beyond the image is mirrored.
    """
    map_x, map_y = _mapping(image.shape[0], image.shape[1], size, settings, rng)
    border = cv2.BORDER_REFLECT_101
    view = np.asarray(cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=border), np.uint8)
    view_labels = cv2.remap(labels, map_x, map_y, cv2.INTER_NEAREST, borderMode=border)
    view = _coarsen(view, settings, rng)
    view = _restain(view, settings, rng)
    view = _degrade(view, settings, rng)
    return view, view_labels.astype(np.uint16, copy=False)


def _mapping(
    height: int, width: int, size: int, settings: Augmentation, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Source coordinates (x, y) of each pixel of the view."""
    angle = rng.uniform(0, 2 * np.pi)
    zoom = np.exp(rng.uniform(-1, 1) * np.log1p(settings.scale))
    mirror = rng.choice((-1.0, 1.0))
    shear_x, shear_y = rng.uniform(-settings.shear, settings.shear, 2)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear_x], [shear_y, 1]]) / zoom
    matrix[:, 0] *= mirror
    reach = size / (2 * zoom)  # keep the unrotated view inside the image where it fits
    centre_x = rng.uniform(min(reach, width / 2), max(width - reach, width / 2))
    centre_y = rng.uniform(min(reach, height / 2), max(height - reach, height / 2))
    steps = np.arange(size, dtype=np.float32) - (size - 1) / 2
    dx, dy = _elastic(size, settings, rng)
    x, y = steps[None, :] + dx, steps[:, None] + dy
    map_x = matrix[0, 0] * x + matrix[0, 1] * y + centre_x
    map_y = matrix[1, 0] * x + matrix[1, 1] * y + centre_y
    return map_x.astype(np.float32), map_y.astype(np.float32)


def _elastic(
    size: int, settings: Augmentation, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A smooth random displacement (x, y) of each pixel."""
    knots = size // settings.elastic_cell_px + 2
    coarse = rng.normal(0, settings.elastic_px, (2, knots, knots)).astype(np.float32)
    dx, dy = (cv2.resize(plane, (size, size), interpolation=cv2.INTER_CUBIC) for plane in coarse)
    return dx, dy


def _coarsen(view: NDArray[np.uint8], settings: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The view as a scanner of up to twice the mpp would have seen it."""
    if rng.random() >= settings.coarse_p:
        return view
    size = view.shape[0]
    small = round(size / rng.uniform(1.2, 2.0))
    reduced = cv2.resize(view, (small, small), interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def _restain(view: NDArray[np.uint8], settings: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Scale and shift each stain's optical density, and the light."""
    gain = 1 + rng.uniform(-settings.stain, settings.stain, 3).astype(np.float32)
    shift = rng.uniform(-settings.stain_shift, settings.stain_shift, 3).astype(np.float32)
    light = 1 + rng.uniform(-settings.brightness, settings.brightness)
    mixing = (_HED_FROM_RGB * gain) @ _RGB_FROM_HED
    offset = shift @ _RGB_FROM_HED
    density = cv2.transform(cv2.LUT(view, _OD), np.ascontiguousarray(mixing.T)) + offset
    restained: NDArray[np.float32] = cv2.exp(-density) * (256 * light) - 1
    return np.clip(np.rint(restained), 0, 255).astype(np.uint8)


def _degrade(view: NDArray[np.uint8], settings: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blur and noise, each with its probability."""
    if rng.random() < settings.blur_p:
        view = np.asarray(cv2.GaussianBlur(view, (0, 0), rng.uniform(0.3, 1.2)), np.uint8)
    if rng.random() < settings.noise_p:
        noise = rng.normal(0, rng.uniform(1, 8), view.shape)
        view = np.clip(np.rint(view + noise), 0, 255).astype(np.uint8)
    return view
