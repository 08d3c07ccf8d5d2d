"""How much memory a slide takes: what this process took while it was measured, and caches that fill with windows."""

from __future__ import annotations

import sys
from typing import Final

from wsi_nucssl.geometry import Size
from wsi_nucssl.models.weights import Model
from wsi_nucssl.segment.probabilities import RECENT
from wsi_nucssl.segment.windows import BLEND, CORE

_SIDE: Final = Size(CORE + 2 * BLEND, CORE + 2 * BLEND)


def peak_bytes(windows: int, model: Model) -> int:
    """Bytes at the peak of a slide of so many windows, after this process measured some of them."""
    window = len(model.info.schema.stored) * _SIDE.area
    return resident_bytes() + min(RECENT, windows) * window


def resident_bytes() -> int:
    """The most memory that this process has had so far; 0 where the system does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
