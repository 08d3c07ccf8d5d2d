"""From the scores of images to those of a set: means, bootstrap intervals, pooled AJI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.metrics.aji import aji_sums_of
from wsi_nucssl.metrics.contingency import Labels, contingency
from wsi_nucssl.metrics.scores import Scores, score
from wsi_nucssl.metrics.verdicts import verdicts_of

MEASURES: Final = tuple(field.name for field in fields(Scores))
RESAMPLES: Final = 10_000
CONFIDENCE: Final = 0.95
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class ImageResult:
    """One predicted label image against its truth.

    Attributes
    ----------
    id : of the image.
    scores : every measure.
    aji_sums : C and U of its AJI, px.
    true_nuclei, pred_nuclei : how many.
    errors : nuclei found, missed, invented, merged, split (`metrics.verdicts`).
    """

    id: str
    scores: Scores
    aji_sums: tuple[int, int]
    true_nuclei: int
    pred_nuclei: int
    errors: dict[str, int]


def judge(sample_id: str, true: Labels, pred: Labels) -> ImageResult:
    """Score two label images of one shape (row, col)."""
    table = contingency(true, pred)
    return ImageResult(
        sample_id,
        score(true, pred),
        aji_sums_of(table),
        int(table.true_ids.size),
        int(table.pred_ids.size),
        verdicts_of(table).counts(),
    )


def means(images: Sequence[ImageResult]) -> dict[str, float]:
    """Mean of each measure over the images, each image counting once; undefined values (nan) left out."""
    return dict(zip(MEASURES, _mean(_table(images)).tolist(), strict=True))


def intervals(images: Sequence[ImageResult]) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap interval of each mean: 10,000 seeded resamples of the images, 95 %.

    It says how much the mean depends on which images happened to be in the set, not how much on the training
    run. One image alone has no interval: nan.
    """
    table = _table(images)
    if len(images) < 2:
        return {name: (float("nan"), float("nan")) for name in MEASURES}
    draws = np.random.default_rng(_SEED).integers(0, len(images), (RESAMPLES, len(images)))
    resampled = np.stack([_mean(table[draw]) for draw in draws])
    tail = 100 * (1 - CONFIDENCE) / 2
    found: dict[str, tuple[float, float]] = {}
    for name, column in zip(MEASURES, resampled.T, strict=True):
        defined = column[~np.isnan(column)]
        low, high = np.percentile(defined, (tail, 100 - tail)) if defined.size else (np.nan, np.nan)
        found[name] = (float(low), float(high))
    return found


def pooled_aji(images: Sequence[ImageResult]) -> float:
    """ΣC / ΣU over all images: every nucleus counts by its area, whatever image it is in."""
    intersection, union = (sum(image.aji_sums[part] for image in images) for part in (0, 1))
    return intersection / union if union else float("nan")


def _table(images: Sequence[ImageResult]) -> NDArray[np.float64]:
    """(images, measures)."""
    return np.array([astuple(image.scores) for image in images], np.float64)


def _mean(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of each column over its defined values; nan where there are none."""
    defined = ~np.isnan(table)
    count = defined.sum(axis=0)
    total = np.where(defined, table, 0).sum(axis=0)
    mean: NDArray[np.float64] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean
