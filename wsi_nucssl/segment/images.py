"""Segment an image in memory: the same windows, engine and extraction as a slide, without a run directory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.nuclei.instances import InstanceConfig, LabelImage, Probabilities, label_instances
from wsi_nucssl.nuclei.stain import hematoxylin_od
from wsi_nucssl.segment.engine import Engine
from wsi_nucssl.segment.windows import predict_windows
from wsi_nucssl.tiles.grid import TileGrid


def predict_image(engine: Engine, image: NDArray[np.uint8], grid: TileGrid | None = None) -> Probabilities:
    """Body, boundary and hematoxylin planes, uint8 (3, row, col), of an RGB image (row, col, 3) at the model's mpp.

    `grid` places the windows; by default as on a slide of this size.
    """
    return np.concatenate([predict_windows(engine, image, grid), hematoxylin_od(image)[None]])


def segment_image(engine: Engine, image: NDArray[np.uint8], config: InstanceConfig) -> LabelImage:
    """Label image, int32 (row, col), of an RGB image (row, col, 3) at the model's mpp."""
    return label_instances(predict_image(engine, image), config)
