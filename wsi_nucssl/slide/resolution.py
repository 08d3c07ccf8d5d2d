"""How many µm a pixel covers: as the file states it, else as the user gives it; never a guess."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from wsi_nucssl.doubts import Doubt
from wsi_nucssl.errors import MissingMpp, SlideError
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.locations import Location
from wsi_nucssl.mpp import LARGEST_MPP, LEAST_MPP, GivenMpp, is_plausible, same_mpp, slip
from wsi_nucssl.slide.base import Slide

_STATED_UM: Final = (
    ("aperio.MPP", "aperio.MPP"),
    ("ome.mpp-x", "ome.mpp-y"),
    ("imagej.mpp-x", "imagej.mpp-y"),
)
"""A number that software wrote as µm: it is believed, or questioned, whatever it is."""

_DERIVED_UM: Final = (("openslide.mpp-x", "openslide.mpp-y"), ("tiffslide.mpp-x", "tiffslide.mpp-y"))
"""Numbers that a library may have made of a TIFF's resolution."""

_MICROSCOPE_UM: Final = (0.02, 20.0)
"""A TIFF resolution outside this range is a printing density (72 dpi is 353 µm), not a microscope's."""

_LARGEST_UM: Final = 1000.0

_UM_PER_UNIT: Final = {"centimeter": 10_000.0, "inch": 25_400.0}

_MOST_ENLARGED: Final = 3.0
"""A network that sees px enlarged by more is shown blur."""

_OBJECTIVES: Final = ("openslide.objective-power", "tiffslide.objective-power", "aperio.AppMag")
_UM_AT_1X: Final = 10.0
_ODD_OBJECTIVE: Final = 3.0
"""Cameras and adapters make of an objective up to twice the usual resolution, or half of it."""


def stated_mpp(properties: Mapping[str, str]) -> tuple[Mpp | None, str]:
    """The resolution that `properties` state and the property it came from, or (None, "")."""
    for x_name, y_name in _STATED_UM:
        mpp = _within(_number(properties.get(x_name)), _number(properties.get(y_name)), 0.0, _LARGEST_UM)
        if mpp:
            return mpp, x_name
    for x_name, y_name in _DERIVED_UM:
        mpp = _within(_number(properties.get(x_name)), _number(properties.get(y_name)), *_MICROSCOPE_UM)
        if mpp:
            return mpp, x_name
    mpp = _tiff_mpp(properties)
    return (mpp, "tiff.XResolution") if mpp else (None, "")


def settled_mpp(stated: Mpp | None, source: str, given: GivenMpp) -> tuple[Mpp | None, str]:
    """The resolution of a slide and where it comes from: by the file, else by the user, who may force it.

    Parameters
    ----------
    stated : Mpp or None
        What the file says.
    source : str
        Where it says so.
    given : GivenMpp
        What the user says.
    """
    if given.um is None or (stated is not None and not given.is_forced):
        return stated, source
    return Mpp.square(given.um), "forced" if given.is_forced else "given"


def refuse_contradiction(slide: Slide, given: GivenMpp) -> None:
    """See that what the user says of a slide's resolution is what the file says, if it says anything.

    Raises
    ------
    SlideError
        They differ by more than 2 %, and the user does not force it.
    """
    mpp = slide.mpp
    if given.um is None or given.is_forced or mpp is None:
        return
    if same_mpp(mpp.x, given.um) and same_mpp(mpp.y, given.um):
        return
    raise SlideError(
        f"it states {mpp} µm per px ({slide.mpp_source}), but {given.um:g} is given{slip(mpp.x)}",
        path=str(slide.path),
        remedy="Leave it out, since ⟨mpp⟩ and ⟨slide_mpp⟩ fill in only what a file does not say, or add "
        "⟨force_mpp⟩ if the file is wrong",
    )


def require_mpp(slide: Slide) -> Mpp:
    """The slide's resolution, which is a microscope's or forced by the user.

    Raises
    ------
    MissingMpp
        The file states none and the user gave none.
    SlideError
        It lies outside 0.05 … 4 µm per px, and nobody vouches for it.
    """
    mpp = slide.mpp
    if mpp is None:
        raise MissingMpp(
            "the file does not say how many µm a pixel covers",
            path=str(slide.path),
            remedy="Give it with ⟨mpp⟩, for tile and pretrain with ⟨slide_mpp⟩ (40× scans are about 0.25, 20× 0.5)",
        )
    if not slide.is_mpp_forced and not (is_plausible(mpp.x) and is_plausible(mpp.y)):
        raise SlideError(
            f"it states {mpp} µm per px ({slide.mpp_source}), outside {LEAST_MPP:g} … {LARGEST_MPP:g}"
            + slip(mpp.x),
            path=str(slide.path),
            remedy="Give the right one with ⟨mpp⟩ (for tile and pretrain ⟨slide_mpp⟩) and ⟨force_mpp⟩, or "
            "⟨force_mpp⟩ alone if it is true",
        )
    return mpp


def require_detail(slide: Slide, wanted: Mpp) -> None:
    """See that the slide has about the detail that a network wants to see, before any work begins.

    Parameters
    ----------
    slide : Slide
        The slide.
    wanted : Mpp
        µm per px that it will be resampled to.

    Raises
    ------
    MissingMpp, SlideError
        As `require_mpp`; or its px would be enlarged more than three times, and the user does not force it.
    """
    own = require_mpp(slide)
    if not slide.is_mpp_forced:
        check_enlargement(own, wanted, slide.path)


def check_enlargement(own: Mpp, wanted: Mpp, path: Location | None = None) -> None:
    """Refuse to enlarge px more than three times.

    Raises
    ------
    SlideError
        That is what it takes.
    """
    times = max(own.x / wanted.x, own.y / wanted.y)
    if times > _MOST_ENLARGED:
        raise SlideError(
            f"its px of {own} µm would be enlarged {times:.3g} times to the {wanted} µm per px that are wanted, "
            "which shows no detail that is not there",
            path=None if path is None else str(path),
            remedy="Scan it with a stronger objective or correct its mpp (⟨mpp⟩ with ⟨force_mpp⟩); ⟨force_mpp⟩ "
            "alone goes on all the same",
        )


def doubtful_mpp(slide: Slide) -> Doubt | None:
    """What in a slide's own metadata contradicts its resolution; None if nothing does, or the user forces it."""
    mpp = slide.mpp
    if mpp is None or slide.is_mpp_forced:
        return None
    said = [*_other_statements(slide, mpp), *_odd_objective(slide, mpp)]
    if not said:
        return None
    return Doubt(
        "mpp-in-doubt",
        f"it states {mpp} µm per px ({slide.mpp_source}), but also {said[0]}",
        "Compare with a scan of the same kind, and give the right one with ⟨mpp⟩ and ⟨force_mpp⟩",
    )


def _other_statements(slide: Slide, mpp: Mpp) -> list[str]:
    """Another resolution in the TIFF's own tags, in words; a printing density is none."""
    other = _tiff_mpp(slide.properties)
    if other is None or (same_mpp(other.x, mpp.x) and same_mpp(other.y, mpp.y)):
        return []
    return [f"{other} (tiff.XResolution)"] if slide.mpp_source not in ("given", "tiff.XResolution") else []


def _odd_objective(slide: Slide, mpp: Mpp) -> list[str]:
    """An objective that makes quite another resolution, in words."""
    power = next(filter(None, (_number(slide.properties.get(name)) for name in _OBJECTIVES)), 0.0)
    if not power or 1 / _ODD_OBJECTIVE < mpp.mean * power / _UM_AT_1X < _ODD_OBJECTIVE:
        return []
    return [f"an objective of {power:g}×, which makes about {_UM_AT_1X / power:.3g}"]


def _tiff_mpp(properties: Mapping[str, str]) -> Mpp | None:
    """By the TIFF's resolution and its unit; a unit that is absent or none of the two known ones says nothing."""
    um_per_unit = _UM_PER_UNIT.get(properties.get("tiff.ResolutionUnit", "").lower(), 0.0)
    x, y = (_number(properties.get(f"tiff.{axis}Resolution")) for axis in "XY")
    return _within(um_per_unit / x, um_per_unit / y, *_MICROSCOPE_UM) if um_per_unit and x and y else None


def _within(x: float, y: float, low: float, high: float) -> Mpp | None:
    return (
        Mpp(x, y) if x > 0 and y > 0 and low <= min(x, y) and max(x, y) <= high and max(x, y) < 1000 else None
    )


def _number(text: str | None) -> float:
    """A finite positive number, or 0 where there is none."""
    try:
        value = float((text or "0").replace(",", "."))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0
