"""What makes a slide's nuclei doubtful: too few, too many, too small, too large, or none although there is tissue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from wsi_nucssl.doubts import Doubt
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.models.weights import Model
from wsi_nucssl.nuclei.plausible import (
    FEWEST,
    LARGEST_MEDIAN_UM2,
    LARGEST_PER_MM2,
    LEAST_MEDIAN_UM2,
    LEAST_MM2,
    LEAST_PER_MM2,
    has_nuclear_size,
    likelier_factor,
)
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.table import MEASUREMENTS, Nuclei
from wsi_nucssl.segment.plan import Plan
from wsi_nucssl.segment.probabilities import ProbabilityStore
from wsi_nucssl.segment.scope import Scope
from wsi_nucssl.slide import Slide
from wsi_nucssl.slide.resolution import doubtful_mpp

_AREA: Final = MEASUREMENTS.index("area")
_LARGEST_AREA_PX: Final = 1 << 16
_LEAST_EMPTY_MM2: Final = 0.01
"""Tissue of a fifth of a field of view may well hold no nucleus."""


class AreaTally:
    """How many nuclei there are of each area, in a fixed amount of memory."""

    def __init__(self) -> None:
        self._counts = np.zeros(_LARGEST_AREA_PX + 1, np.int64)

    def add(self, nuclei: Nuclei) -> None:
        """Count the nuclei of a table."""
        areas = np.minimum(nuclei.measurements[:, _AREA], _LARGEST_AREA_PX).astype(np.int64)
        self._counts += np.bincount(areas, minlength=len(self._counts))

    @property
    def nuclei(self) -> int:
        """How many in all."""
        return int(self._counts.sum())

    def median_px(self) -> float:
        """The median area in px of the tables; the lower one of two. 0 without nuclei."""
        reached = np.cumsum(self._counts)
        return float(np.searchsorted(reached, (self.nuclei + 1) // 2)) if self.nuclei else 0.0


def doubts_before(slide: Slide, scope: Scope, model: Model) -> tuple[Doubt, ...]:
    """What is doubtful before the network has seen the slide: weights, resolution, tissue that is not there."""
    found = [*model.doubts, doubtful_mpp(slide), scope.doubt]
    return tuple(doubt for doubt in found if doubt is not None)


def doubts_after(
    areas: AreaTally, mm2: float, mpp: Mpp, is_filtered: Callable[[], bool] = lambda: False
) -> tuple[Doubt, ...]:
    """What is doubtful of the nuclei that were found.

    Parameters
    ----------
    areas : AreaTally
        Their areas, in px of `mpp`.
    mm2 : float
        How much tissue was looked at; 0 where nobody knows, and then only the nuclei's size is judged.
    mpp : Mpp
        µm per px of the tables.
    is_filtered : callable
        Asked where there is no nucleus: true if the network saw some, and all were dropped.
    """
    count = areas.nuclei
    if not count:
        return (_none_found(mm2, is_filtered()),) if mm2 >= _LEAST_EMPTY_MM2 else ()
    found = [_size_doubt(count, areas.median_px() * mpp.x * mpp.y), _density_doubt(count, mm2)]
    return tuple(doubt for doubt in found if doubt is not None)


def sees_nuclei(store: ProbabilityStore, plan: Plan, config: InstanceConfig) -> bool:
    """True if a px of the stored probabilities could be of a nucleus's marker."""
    return any(bool((store.read(block.core)[0] >= config.body_byte).any()) for block in plan.active)


def _none_found(mm2: float, is_filtered: bool) -> Doubt:
    if is_filtered:
        return Doubt(
            "all-filtered",
            f"{mm2:.3g} mm² of tissue and no nucleus kept, though the network saw some: all were too small, which is "
            "so where the mpp is too large",
            "Check the mpp that the slide states (info), and the model's least sizes (min_marker_px, min_area_px)",
        )
    return Doubt(
        "no-nuclei",
        f"{mm2:.3g} mm² of tissue and no nucleus: a wrong mpp, another stain than the model's, blur, or no "
        "tissue after all",
        "Look at the slide (info with ⟨thumbnail⟩), check its mpp, or give another ⟨model⟩",
    )


def _size_doubt(count: int, median_um2: float) -> Doubt | None:
    if count < FEWEST or has_nuclear_size(median_um2):
        return None
    times = likelier_factor(median_um2)
    likely = f"; at {times:g} times the mpp it would have {median_um2 * times**2:.3g}"
    return Doubt(
        "nucleus-size",
        f"the median nucleus has {median_um2:.3g} µm², where human nuclei have {LEAST_MEDIAN_UM2:g} to "
        f"{LARGEST_MEDIAN_UM2:g}{likely}: a wrong mpp, or debris",
        "Check the slide's mpp (info), and give the right one with ⟨mpp⟩ and ⟨force_mpp⟩",
    )


def _density_doubt(count: int, mm2: float) -> Doubt | None:
    if mm2 < LEAST_MM2 or LEAST_PER_MM2 <= (per_mm2 := count / mm2) <= LARGEST_PER_MM2:
        return None
    few = per_mm2 < LEAST_PER_MM2
    cause = "a wrong mpp, another stain than the model's, blur, or a tissue mask of more than tissue"
    return Doubt(
        "nuclei-per-mm2",
        f"{per_mm2:.0f} nuclei per mm² of tissue, where tissue has {LEAST_PER_MM2:g} to {LARGEST_PER_MM2:g}: "
        + (cause if few else "a wrong mpp, or a tissue mask that misses tissue"),
        "Check the slide's mpp (info), its tissue (info with ⟨thumbnail⟩) and its stain",
    )
