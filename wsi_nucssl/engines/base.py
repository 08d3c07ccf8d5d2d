"""The contract of engines: RGB windows in, quantised probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.geometry import Size

Windows = NDArray[np.uint8]
"""RGB of shape (N, row, col, 3), in input px."""
BodyBoundary = NDArray[np.uint8]
"""P(body), P(boundary) and P(type) of each type in 255ths, of shape (N, 2 + types, row, col), in output px."""


class Engine(Protocol):
    """Predicts batches of windows; the same bytes for the same batch, every time."""

    @property
    def name(self) -> str:
        """Engine, version, device and precision: part of a run's identity, since each rounds in its own way."""
        ...

    @property
    def streams(self) -> int:
        """How many threads may call `predict` at a time, each with a batch of its own; it never changes the bytes."""
        ...

    @property
    def batch_px(self) -> int:
        """About how many input px a batch should have to keep the device busy; 0 where one window does."""
        ...

    @property
    def upscale(self) -> int:
        """Output px per input px along each axis: the network's."""
        ...

    def predict(self, windows: Windows) -> BodyBoundary:
        """(N, row, col, 3) → (N, 2 + types, upscale · row, upscale · col); rows and cols are multiples of 32."""
        ...


def predict_batch(engine: Engine, windows: Sequence[NDArray[np.uint8]], batch_size: int) -> BodyBoundary:
    """Predict up to `batch_size` windows; a short batch is filled up, so that the engine sees one shape only."""
    count = len(windows)
    batch = np.stack([*windows, *[windows[-1]] * (batch_size - count)])
    return engine.predict(batch)[:count]


def default_batch_size(engine: Engine, window: Size) -> int:
    """As many windows, of `window` input px, as the device wants, at least one."""
    return max(1, engine.batch_px // window.area)
