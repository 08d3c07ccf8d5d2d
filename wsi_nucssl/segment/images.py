"""Segment an image in memory: the same windows, engine and extraction as a slide, without a run directory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.geometry import Size
from wsi_nucssl.nuclei.instances import InstanceConfig, LabelImage, Probabilities, label_instances
from wsi_nucssl.nuclei.stain import hematoxylin_od
from wsi_nucssl.segment.engine import Engine
from wsi_nucssl.segment.windows import core_of, predict_batch, read_window, window_grid, window_shape
from wsi_nucssl.tiles.grid import TileGrid


def predict_image(engine: Engine, image: NDArray[np.uint8], grid: TileGrid | None = None) -> Probabilities:
    """Body, boundary and hematoxylin planes, uint8 (3, row, col), of an RGB image (row, col, 3) at the model's mpp.

    `grid` places the windows; by default as on a slide of this size.
    """
    rows, cols = image.shape[:2]
    extent = Size(cols, rows)
    grid = grid or window_grid(extent)
    planes = np.empty((3, rows, cols), np.uint8)
    for tile in grid:
        window = read_window(lambda box: image[box.rc], tile, extent, window_shape(grid))
        planes[:2, *tile.core.rc] = core_of(tile, predict_batch(engine, [window], 1)[0])
    planes[2] = hematoxylin_od(image)
    return planes


def segment_image(engine: Engine, image: NDArray[np.uint8], config: InstanceConfig) -> LabelImage:
    """Label image, int32 (row, col), of an RGB image (row, col, 3) at the model's mpp."""
    return label_instances(predict_image(engine, image), config)
