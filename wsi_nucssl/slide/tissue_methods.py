"""Ways to find tissue, by name. A new one is a function and a line here, or an entry point: docs/extending.md."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.checks import shown
from wsi_nucssl.errors import UsageError
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


def require_method(method: object) -> None:
    """Refuse what is neither text nor a path, and so neither a name of `TISSUES` nor a file.

    Raises
    ------
    UsageError
        It is not.
    """
    if not isinstance(method, str | PathLike):
        raise no_method(method)


def no_method(method: object) -> UsageError:
    """The error of what is neither a name of `TISSUES` nor a file."""
    return UsageError(
        f"⟨tissue⟩ {shown(method)} is neither a file nor a way to find tissue", remedy=choose_method()
    )


def choose_method() -> str:
    """The remedy where tissue cannot be found as it was asked for."""
    return f"Choose one of {', '.join(TISSUES.names)}, or a GeoJSON file of annotations"
