"""How fast a model's network is here."""

from __future__ import annotations

from time import perf_counter
from typing import Final

import numpy as np

from wsi_nucssl.engines.base import Engine, default_batch_size
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.geometry import Size
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.segment.windows import CORE, window_grid

_TIMES: Final = 3


def mm2_per_minute(name_or_path: str, engine: Engine | None = None) -> float:
    """mm² of tissue that the network alone gets through in a minute, one batch after another.

    Windows are those of a large slide. The first is not timed, since engines compile on it.

    Parameters
    ----------
    engine : Engine, optional
        Of that model; by default the one that work here would take.
    """
    info = (model := load_model(name_or_path)).info
    engine = engine or open_engine(model)
    grid = window_grid(Size(4 * CORE, 4 * CORE), upscale=engine.upscale)
    count = default_batch_size(engine, grid.input_shape)
    windows = np.random.RandomState(0).randint(0, 256, (count, *grid.input_shape.shape_rc, 3), np.uint8)
    engine.predict(windows)
    begun = perf_counter()
    for _ in range(_TIMES):
        engine.predict(windows)
    px = _TIMES * count * grid.tile.area
    return px * (info.mpp / 1000) ** 2 / ((perf_counter() - begun) / 60)
