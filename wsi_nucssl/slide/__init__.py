"""Slides: opening, reading at any resolution, tissue, description.

Each name is imported when it is first used, and a reader's library when a slide is opened.
"""

from typing import TYPE_CHECKING, Final

from wsi_nucssl.lazy import lazily

if TYPE_CHECKING:
    from wsi_nucssl.slide.base import RGB as RGB
    from wsi_nucssl.slide.base import Level as Level
    from wsi_nucssl.slide.base import Slide as Slide
    from wsi_nucssl.slide.canvas import Canvas as Canvas
    from wsi_nucssl.slide.description import LevelInfo as LevelInfo
    from wsi_nucssl.slide.description import SlideInfo as SlideInfo
    from wsi_nucssl.slide.description import describe as describe
    from wsi_nucssl.slide.description import thumbnail_with_mask as thumbnail_with_mask
    from wsi_nucssl.slide.fingerprint import identity as identity
    from wsi_nucssl.slide.opening import open_slide as open_slide
    from wsi_nucssl.slide.registry import READERS as READERS
    from wsi_nucssl.slide.registry import DeclinedError as DeclinedError
    from wsi_nucssl.slide.registry import SlideReader as SlideReader
    from wsi_nucssl.slide.resolution import require_mpp as require_mpp
    from wsi_nucssl.slide.tissue import TissueMask as TissueMask
    from wsi_nucssl.slide.tissue import tissue_mask as tissue_mask
    from wsi_nucssl.slide.tissue import write_tissue as write_tissue
    from wsi_nucssl.slide.tissue_methods import TISSUES as TISSUES

_HOMES: Final = {
    "READERS": "registry",
    "RGB": "base",
    "TISSUES": "tissue_methods",
    "Canvas": "canvas",
    "DeclinedError": "registry",
    "Level": "base",
    "LevelInfo": "description",
    "Slide": "base",
    "SlideInfo": "description",
    "SlideReader": "registry",
    "TissueMask": "tissue",
    "describe": "description",
    "identity": "fingerprint",
    "open_slide": "opening",
    "require_mpp": "resolution",
    "thumbnail_with_mask": "description",
    "tissue_mask": "tissue",
    "write_tissue": "tissue",
}

__all__ = [*_HOMES]
__getattr__, __dir__ = lazily(__name__, _HOMES)
