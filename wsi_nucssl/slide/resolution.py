"""How many µm a pixel covers, as the file states it: never a guess."""

from __future__ import annotations

import math
from collections.abc import Mapping

from wsi_nucssl.errors import MissingMpp
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.slide.base import Slide

_PLAUSIBLE_UM = (0.02, 20.0)
"""A TIFF resolution outside this range is a printing density (72 dpi is 353 µm), not a microscope's."""

_UM_PER_UNIT = {"centimeter": 10_000.0, "inch": 25_400.0}


def stated_mpp(properties: Mapping[str, str]) -> tuple[Mpp | None, str]:
    """The resolution that `properties` state and the property it came from, or (None, "")."""
    for x_name, y_name in (
        ("aperio.MPP", "aperio.MPP"),
        ("ome.mpp-x", "ome.mpp-y"),
        ("imagej.mpp-x", "imagej.mpp-y"),
        ("openslide.mpp-x", "openslide.mpp-y"),
        ("tiffslide.mpp-x", "tiffslide.mpp-y"),
    ):
        mpp = _plausible(_number(properties.get(x_name)), _number(properties.get(y_name)))
        if mpp:
            return mpp, x_name
    um_per_unit = _UM_PER_UNIT.get(properties.get("tiff.ResolutionUnit", "").lower(), 0.0)
    x, y = (_number(properties.get(f"tiff.{axis}Resolution")) for axis in "XY")
    if um_per_unit and x and y:
        mpp = _plausible(um_per_unit / x, um_per_unit / y)
        if mpp:
            return mpp, "tiff.XResolution"
    return None, ""


def require_mpp(slide: Slide) -> Mpp:
    """The slide's resolution.

    Raises
    ------
    MissingMpp
        The file states none and the user gave none.
    """
    if slide.mpp is None:
        raise MissingMpp(
            "the file does not say how many µm a pixel covers",
            path=str(slide.path),
            remedy="Give it with ⟨mpp⟩, for tile and pretrain with ⟨slide_mpp⟩ (40× scans are about 0.25, 20× 0.5)",
        )
    return slide.mpp


def _plausible(x: float, y: float) -> Mpp | None:
    low, high = _PLAUSIBLE_UM
    return Mpp(x, y) if low <= x <= high and low <= y <= high else None


def _number(text: str | None) -> float:
    """A finite positive number, or 0 where there is none."""
    try:
        value = float((text or "0").replace(",", "."))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0
