"""Ways to find tissue, by name. A new one is a function and a line here, or an entry point: docs/extending.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.registry import Plugin, Registry

FindTissue = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.bool_]]
"""Of a slide at about 4 µm per px, uint8 (row, col, 3), and what is filled in outside its scan, bool (row, col):
where there is tissue, bool (row, col). Specks and small holes are seen to afterwards."""

_HERE: Final = "wsi_nucssl.slide"

TISSUES: Final[Registry[FindTissue]] = Registry(
    "way to find tissue",
    "wsi_nucssl.tissues",
    Plugin(
        "stain", f"{_HERE}.stained:stained", "colour; darkness where nothing has colour; thin walls; no pen"
    ),
    Plugin("otsu", f"{_HERE}.stained:darker", "what is darker than Otsu's threshold, whatever it is"),
    Plugin(
        "none",
        f"{_HERE}.stained:everything",
        "no search: all of the slide is looked at, but for what fills it up",
    ),
)
DEFAULT_TISSUE: Final = "stain"
