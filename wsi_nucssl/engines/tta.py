"""Test-time augmentation, as an engine around another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.engines.base import BodyBoundary, Engine, Windows
from wsi_nucssl.engines.registry import VIEWS
from wsi_nucssl.errors import UsageError


@dataclass(frozen=True, slots=True)
class Augmented:
    """The mean over `views` mirrored and rotated inputs (1, 2, 4 or 8), in whole 255ths."""

    engine: Engine
    views: int

    def __post_init__(self) -> None:
        if self.views not in VIEWS:
            raise UsageError(f"test-time augmentation takes 1, 2, 4 or 8 views, not {self.views}")

    @property
    def name(self) -> str:
        """The engine's name and the number of views."""
        return f"{self.engine.name}-{self.views}-views"

    @property
    def streams(self) -> int:
        """The engine's."""
        return self.engine.streams

    @property
    def batch_px(self) -> int:
        """The engine's."""
        return self.engine.batch_px

    @property
    def upscale(self) -> int:
        """The engine's."""
        return self.engine.upscale

    def predict(self, windows: Windows) -> BodyBoundary:
        """See `Engine.predict`."""
        total: NDArray[np.uint16] = np.zeros((), np.uint16)
        for view in range(self.views):
            mirror, turns = view % 2 == 1, view // 2
            seen = np.rot90(windows[:, :, ::-1] if mirror else windows, turns, (1, 2))
            turned = np.rot90(self.engine.predict(np.ascontiguousarray(seen)), -turns, (2, 3))
            total = total + (turned[..., ::-1] if mirror else turned)
        return ((total + self.views // 2) // self.views).astype(np.uint8)
