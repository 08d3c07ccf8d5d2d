"""Views are turned back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from wsi_nucssl.engines.base import BodyBoundary, Windows, default_batch_size
from wsi_nucssl.engines.tta import Augmented
from wsi_nucssl.geometry import Size
from wsi_nucssl.testing.engines import make_windows


@dataclass(frozen=True)
class Brightness:
    """An engine whose answer is the red channel, so that turned views must come back to it."""

    upscale: int
    name, streams, batch_px = "brightness", 1, 4 * 1024 * 1024

    def predict(self, windows: Windows) -> BodyBoundary:
        red = windows[..., 0].repeat(self.upscale, 1).repeat(self.upscale, 2)
        return np.stack([red, red // 2], axis=1)


@pytest.mark.parametrize("upscale", [1, 2])
@pytest.mark.parametrize("views", [1, 2, 4, 8])
def test_views_are_turned_back(views: int, upscale: int) -> None:
    windows = make_windows()
    engine = Augmented(Brightness(upscale), views)
    assert engine.upscale == upscale
    assert np.array_equal(engine.predict(windows), Brightness(upscale).predict(windows))
    assert engine.name == f"brightness-{views}-views"
    assert engine.batch_px == Brightness.batch_px
    assert default_batch_size(engine, Size(1024, 1024)) == 4
    assert default_batch_size(engine, Size(4096, 4096)) == 1
