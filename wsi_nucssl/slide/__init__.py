"""Slides: opening, reading at any resolution, tissue, description.

Backends load when a slide is opened, not when this package is imported.
"""

from wsi_nucssl.slide.base import RGB, Level, Slide
from wsi_nucssl.slide.canvas import Canvas
from wsi_nucssl.slide.describe import LevelInfo, SlideInfo, describe, thumbnail_with_mask
from wsi_nucssl.slide.identity import identity
from wsi_nucssl.slide.opening import READERS, open_slide
from wsi_nucssl.slide.resolution import require_mpp
from wsi_nucssl.slide.tissue import TissueMask, tissue_mask

__all__ = [
    "READERS",
    "RGB",
    "Canvas",
    "Level",
    "LevelInfo",
    "Slide",
    "SlideInfo",
    "TissueMask",
    "describe",
    "identity",
    "open_slide",
    "require_mpp",
    "thumbnail_with_mask",
    "tissue_mask",
]
