"""What makes a slide's nuclei doubtful: too few or many, small or large, unsure, or none although there is tissue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.doubts import Doubt
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.models.weights import Model
from wsi_nucssl.nuclei.plausible import (
    FEWEST,
    FEWEST_SURE,
    LARGEST_MEDIAN_UM2,
    LARGEST_PER_MM2,
    LEAST_MEDIAN_UM2,
    LEAST_MM2,
    LEAST_PER_MM2,
    LEAST_SURE,
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
_PROBABILITY: Final = MEASUREMENTS.index("probability")
_PROBABILITY_STEPS: Final = 1000
_LEAST_EMPTY_MM2: Final = 0.01
"""Tissue of a fifth of a field of view may well hold no nucleus."""


class NucleusTally:
    """How many nuclei there are of each area and of each probability, in a fixed amount of memory."""

    def __init__(self) -> None:
        self._areas = np.zeros(_LARGEST_AREA_PX + 1, np.int64)
        self._probabilities = np.zeros(_PROBABILITY_STEPS + 1, np.int64)

    def add(self, nuclei: Nuclei) -> None:
        """Count the nuclei of a table."""
        areas = np.minimum(nuclei.measurements[:, _AREA], _LARGEST_AREA_PX).astype(np.int64)
        self._areas += np.bincount(areas, minlength=len(self._areas))
        steps = np.rint(nuclei.measurements[:, _PROBABILITY].clip(0, 1) * _PROBABILITY_STEPS).astype(np.int64)
        self._probabilities += np.bincount(steps, minlength=len(self._probabilities))

    @property
    def nuclei(self) -> int:
        """How many in all."""
        return int(self._areas.sum())

    def median_px(self) -> float:
        """The median area in px of the tables; the lower one of two. 0 without nuclei."""
        return float(_lower_median(self._areas))

    def median_probability(self) -> float:
        """The median probability, to a thousandth; the lower one of two. 0 without nuclei."""
        return _lower_median(self._probabilities) / _PROBABILITY_STEPS


def _lower_median(counts: NDArray[np.int64]) -> int:
    """Of values that are counted by their index."""
    reached = np.cumsum(counts)
    return int(np.searchsorted(reached, (reached[-1] + 1) // 2)) if reached[-1] else 0


def doubts_before(slide: Slide, scope: Scope, model: Model) -> tuple[Doubt, ...]:
    """What is doubtful before the network has seen the slide: weights, resolution, tissue that is not there."""
    found = [*model.doubts, doubtful_mpp(slide), scope.doubt]
    return tuple(doubt for doubt in found if doubt is not None)


def doubts_after(
    tally: NucleusTally, mm2: float, mpp: Mpp, is_filtered: Callable[[], bool] = lambda: False
) -> tuple[Doubt, ...]:
    """What is doubtful of the nuclei that were found.

    Parameters
    ----------
    tally : NucleusTally
        Their areas, in px of `mpp`, and their probabilities.
    mm2 : float
        How much tissue was looked at; 0 where nobody knows, and then their number is not judged.
    mpp : Mpp
        µm per px of the tables.
    is_filtered : callable
        Asked where there is no nucleus: true if the network saw some, and all were dropped.
    """
    count = tally.nuclei
    if not count:
        return (_none_found(mm2, is_filtered()),) if mm2 >= _LEAST_EMPTY_MM2 else ()
    found = [
        _size_doubt(count, tally.median_px() * mpp.x * mpp.y),
        _density_doubt(count, mm2),
        _unsure_doubt(count, tally.median_probability()),
    ]
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


def _unsure_doubt(count: int, probability: float) -> Doubt | None:
    if count < FEWEST_SURE or probability >= LEAST_SURE:
        return None
    return Doubt(
        "unsure",
        f"the network is unsure of the nuclei it found: their median probability is {probability:.3g}, where it is "
        "0.9 on tissue like that of its training: a wrong mpp, another stain than the model's, or blur",
        "Look at the outlines; check the slide's mpp (info) and its stain, or give another ⟨model⟩",
    )
