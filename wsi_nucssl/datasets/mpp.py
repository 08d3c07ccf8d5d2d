"""What counts as a resolution of annotated images, in µm per px, and when two are the same."""

from __future__ import annotations

from wsi_nucssl.errors import UsageError

DEFAULT_MPP = 0.25
"""What is assumed of images of which nobody states it, where a caller does not say otherwise: 40×."""

LEAST_MPP, LARGEST_MPP = 0.05, 4.0
"""What lies outside is a slip of units or of the pen, not a microscope's."""

_SAME = 1.02


def same_mpp(one: float, other: float) -> bool:
    """True if two resolutions are one: within 2 %, which is what scanners' own figures scatter by."""
    return max(one, other) <= _SAME * min(one, other)


def is_plausible(mpp: float) -> bool:
    """True from 0.05 to 4 µm per px."""
    return LEAST_MPP <= mpp <= LARGEST_MPP


def require_plausible(mpp: float) -> None:
    """Refuse an mpp that a caller gives.

    Raises
    ------
    UsageError
        It lies outside 0.05 … 4.
    """
    if not is_plausible(mpp):
        raise UsageError(
            f"an ⟨mpp⟩ of {mpp:g} µm per px is outside {LEAST_MPP:g} … {LARGEST_MPP:g}",
            remedy="Give µm per pixel: 0.25 for 40×, 0.5 for 20×",
        )
