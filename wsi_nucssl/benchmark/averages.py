"""From the scores of images to those of a set: means, bootstrap intervals, pooled AJI."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.benchmark.image_result import ImageResult

RESAMPLES: Final = 10_000
CONFIDENCE: Final = 0.95
_SEED: Final = 0
_PARTS: Final = 100
"""Resamples are averaged in so many parts, so that they never lie in memory all at once."""

Floats = NDArray[np.float64]


def means(images: Sequence[ImageResult]) -> dict[str, float]:
    """Mean of each metric over the images, each image counting once; undefined values (nan) left out."""
    return dict(zip(images[0].scores, _mean(_table(images)).tolist(), strict=True))


def intervals(images: Sequence[ImageResult]) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap interval of each mean: 10,000 seeded resamples of the images, 95 %.

    It says how much the mean depends on which images happened to be in the set, not how much on the training
    run. One image alone has no interval: nan.
    """
    return dict(zip(images[0].scores, bootstrap(_table(images)), strict=True))


def bootstrap(table: Floats) -> list[tuple[float, float]]:
    """Percentile bootstrap interval of the mean of each column of (images, columns), as `intervals` describes it."""
    count, columns = table.shape
    if count < 2:
        return [(float("nan"), float("nan"))] * columns
    draws = np.random.default_rng(_SEED).integers(0, count, (RESAMPLES, count))
    resampled = np.concatenate([_mean(table[part]) for part in np.array_split(draws, _PARTS)])
    tail = 100 * (1 - CONFIDENCE) / 2
    return [_percentiles(column[~np.isnan(column)], tail) for column in resampled.T]


def _percentiles(values: Floats, tail: float) -> tuple[float, float]:
    low, high = np.percentile(values, (tail, 100 - tail)) if values.size else (np.nan, np.nan)
    return float(low), float(high)


def mean_of(values: Iterable[float]) -> float:
    """Mean of the defined values; nan where there are none."""
    return float(_mean(np.array(list(values), np.float64)[:, None])[0])


def pooled_aji(images: Sequence[ImageResult]) -> float:
    """ΣC / ΣU over all images: every nucleus counts by its area, whatever image it is in."""
    intersection, union = (sum(image.aji_sums[part] for image in images) for part in (0, 1))
    return intersection / union if union else float("nan")


def mean_type_pq(images: Sequence[ImageResult]) -> dict[str, float]:
    """Mean PQ of each type over the images that have it; nothing where types were not told apart."""
    return {name: mean_of(image.type_pq[name] for image in images) for name in images[0].type_pq}


def mpq_of(image: ImageResult) -> float:
    """Mean PQ of the types that an image has (Gamper et al., 2020); nan if it has none."""
    return mean_of(image.type_pq.values())


def _table(images: Sequence[ImageResult]) -> Floats:
    """(images, metrics)."""
    return np.array([list(image.scores.values()) for image in images], np.float64)


def _mean(table: Floats) -> Floats:
    """(…, images, columns) to (…, columns): the mean over defined values; nan where there are none."""
    defined = ~np.isnan(table)
    count = defined.sum(axis=-2)
    total = np.where(defined, table, 0).sum(axis=-2)
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean
