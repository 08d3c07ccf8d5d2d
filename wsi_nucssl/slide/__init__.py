"""Slides: opening, reading at any resolution, tissue, description.

Backends load when a slide is opened, not when this package is imported.
"""

from wsi_nucssl.slide.base import RGB, Level, Slide
from wsi_nucssl.slide.canvas import Canvas
from wsi_nucssl.slide.opening import READERS, open_slide
from wsi_nucssl.slide.resolution import require_mpp

__all__ = ["READERS", "RGB", "Canvas", "Level", "Slide", "open_slide", "require_mpp"]
