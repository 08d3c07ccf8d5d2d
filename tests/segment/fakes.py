"""Stand-ins for what is slow or rare: an engine that needs no network, slides made of arrays, slides with bounds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
import tifffile

from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.geometry import Box
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.weights import Model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.segment.windows import repeat_px
from wsi_nucssl.slide import RGB, Slide

DARK, PALE = 120, 165
"""Red values at which the double is sure of a nucleus, and sure of none."""


@dataclass(frozen=True, slots=True)
class DarkIsNucleus:
    """An `Engine` that looks 5 output px far: dark is nucleus, where darkness ends is boundary."""

    seconds: float = 0.0
    upscale: int = 1

    @property
    def name(self) -> str:
        return "double"

    @property
    def streams(self) -> int:
        return 3

    @property
    def batch_px(self) -> int:
        return 0

    def predict(self, windows: Windows) -> BodyBoundary:
        time.sleep(self.seconds)
        return np.stack([_probabilities(window, self.upscale) for window in windows])


def _probabilities(window: RGB, upscale: int) -> BodyBoundary:
    red = cv2.GaussianBlur(repeat_px(window[..., 0], upscale), (5, 5), 1.2)
    nucleus = np.clip((PALE - red.astype(np.float32)) / (PALE - DARK), 0, 1)
    body = cv2.erode(nucleus, np.ones((5, 5), np.uint8))
    planes: BodyBoundary = np.rint(np.stack([body, nucleus - body]) * 255).astype(np.uint8)
    return planes


def model(arch: str = "resunet18", **instances: Any) -> Model:
    """A model without a file, for runs whose engine is a double."""
    config = InstanceConfig(**{"regrow_px": 3, "min_marker_px": 12, "min_area_px": 60, **instances})
    return Model(
        ModelInfo("double", arch, 0.25, config),
        "0" * 64,
        Path("double.safetensors"),
    )


def write_slide(path: Path, *levels: RGB, mpp: float | tuple[float, float] = 0.25) -> Path:
    """A lossless tiled TIFF, finest level first, that states its resolution, the same along x and y or (x, y)."""
    sides = mpp if isinstance(mpp, tuple) else (mpp, mpp)
    with tifffile.TiffWriter(path) as tiff:
        for index, level in enumerate(levels):
            per_cm = [10_000 / side * level.shape[1] / levels[0].shape[1] for side in sides]
            tiff.write(
                level,
                tile=(256, 256),
                photometric="rgb",
                compression="deflate",
                predictor=True,
                subfiletype=min(index, 1),
                resolution=(per_cm[0], per_cm[1]),
                resolutionunit="CENTIMETER",
                metadata=None,
            )
    return path


class WithBounds:
    """A slide whose scanner named the scanned area."""

    def __init__(self, slide: Slide, bounds: Box) -> None:
        self._slide, self.bounds = slide, bounds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._slide, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._slide.close()
