"""Segment an image in memory: the same windows, engine and extraction as a slide, without a run directory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.checks import shown
from wsi_nucssl.engines.base import Engine
from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.grid import ORIGIN, Tile
from wsi_nucssl.nuclei.instances import LabelImage, label_instances
from wsi_nucssl.nuclei.settings import InstanceConfig, Probabilities
from wsi_nucssl.nuclei.types import type_planes, types_in
from wsi_nucssl.resample import resample, triangle_taps
from wsi_nucssl.segment.blending import blended
from wsi_nucssl.segment.stages import predict_windows
from wsi_nucssl.segment.windows import WindowGrid, output_extent, px_to_cover, window_grid

_SAME: Final = 1e-6
"""As for `Canvas`, px that are so nearly those of the image are those of the image."""


def network_input(image: NDArray[np.uint8], step: float) -> NDArray[np.uint8]:
    """An RGB image (row, col, 3) as a network sees it whose px are `step` px of the image: the canvas's filter."""
    if step == 1:
        return image
    rows, cols = image.shape[:2]
    height, width = (px_to_cover(side, step) for side in (rows, cols))
    return resample(image, triangle_taps(0, height, step, rows), triangle_taps(0, width, step, cols))


def predict_image(
    engine: Engine, image: NDArray[np.uint8], grid: WindowGrid | None = None, *, scale: float = 1.0
) -> Probabilities:
    """Body, boundary, type and hematoxylin planes of an RGB image, the same bytes as those of a slide of these px.

    Parameters
    ----------
    image : ndarray of uint8
        uint8 (row, col, 3).
    grid : WindowGrid, optional
        Windows over the output px; by default as on a slide of this size.
    scale : float
        px of the image per output px: the model's mpp over the image's.

    Returns
    -------
    Probabilities
        uint8 (3 + T, row, col) at the model's mpp; as large as the image if `scale` is 1.
    """
    step = scale * engine.upscale
    step = 1.0 if abs(step - 1) < _SAME else step
    picture, scale = network_input(image, step), step / engine.upscale
    extent = output_extent(_size(image), _size(picture), scale, scale, engine.upscale)
    grid = grid or window_grid(extent, upscale=engine.upscale)
    kept: dict[tuple[int, int], Probabilities] = {}

    def write(tile: Tile, planes: Probabilities) -> None:
        kept[tile.row, tile.col] = planes

    predict_windows(lambda box: picture[box.rc], grid, engine, grid, write)
    planes = len(next(iter(kept.values())))
    return blended(grid, Box.at(ORIGIN, extent), lambda tile: kept[tile.row, tile.col], planes)


def segment_image(
    engine: Engine, image: NDArray[np.uint8], config: InstanceConfig, *, scale: float = 1.0
) -> LabelImage:
    """Label image, int32 (row, col) at the model's mpp, of an RGB image.

    Parameters
    ----------
    engine : Engine
        What `open_engine` gave.
    image : ndarray
        uint8 RGB (row, col, 3).
    config : InstanceConfig
        How probabilities become instances, such as a model's `info.instances`.
    scale : float
        px of the image per output px: the model's mpp over the image's.
    """
    check_image(image)
    return label_instances(predict_image(engine, image, scale=scale), config)


def segment_typed_image(
    engine: Engine,
    image: NDArray[np.uint8],
    config: InstanceConfig,
    names: Sequence[str],
    *,
    scale: float = 1.0,
) -> tuple[LabelImage, dict[int, str]]:
    """As `segment_image`, and the type of each label.

    Parameters
    ----------
    engine : Engine
        The model's.
    image : ndarray of uint8
        RGB (row, col, 3).
    config : InstanceConfig
        Thresholds and sizes.
    names : sequence of str
        The names of the model's types, `info.schema.type_names`; without any, no label has a type.
    scale : float
        As in `predict_image`.
    """
    probabilities = predict_image(engine, image, scale=scale)
    labels = label_instances(probabilities, config)
    if not names:
        return labels, {}
    types, _ = types_in(labels, type_planes(probabilities), int(labels.max(initial=0)))
    return labels, {label: names[type_] for label, type_ in enumerate(types.tolist(), 1)}


def check_image(image: Any) -> None:
    """Refuse what is no RGB image, uint8 (row, col, 3), and say how it becomes one.

    Raises
    ------
    UsageError
        It has another shape or dtype, or no px.
    """
    shape = getattr(image, "shape", ())
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.size and shape[2:] == (3,):
        return
    raise UsageError(
        f"an image is uint8 RGB of shape (row, col, 3), not {shown(image)}",
        remedy=_remedy(image),
    )


def _remedy(image: Any) -> str:
    """How this becomes an image."""
    if not isinstance(image, np.ndarray):
        return "Make it an array with numpy.asarray"
    if image.ndim == 2 or image.shape[2:] == (1,):
        return "Repeat its grey channel three times, with numpy.dstack"
    if image.shape[2:] == (4,):
        return "Drop its alpha channel: image[..., :3]"
    if image.ndim == 3 and image.shape[0] == 3:
        return "Put its channels last: image.transpose(1, 2, 0)"
    if image.dtype != np.uint8 and image.ndim == 3:
        return "Scale it to 0 … 255 and convert it: image.astype('uint8'), after multiplying what goes up to 1 by 255"
    return "Give one picture with at least one px"


def _size(image: NDArray[np.uint8]) -> Size:
    return Size(image.shape[1], image.shape[0])
