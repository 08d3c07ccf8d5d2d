"""Datasets, models and predictions small enough to benchmark in a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.ndimage import label

from wsi_nucssl.benchmark.predictors import KnownSplit
from wsi_nucssl.datasets import Dataset, Split
from wsi_nucssl.errors import Stopped


@dataclass(frozen=True)
class Copycat:
    """A predictor that answers with the truth, moved down by some rows."""

    dataset: Dataset
    name: str = "copycat"
    moved: int = 0
    split: KnownSplit | None = None
    source: Mapping[str, Any] = field(default_factory=lambda: {"kind": "test"})

    def label_image(self, sample_id: str, image: np.ndarray, mpp: float) -> np.ndarray:
        assert (image.dtype, mpp) == (np.dtype(np.uint8), 0.25)
        return np.roll(self.dataset[sample_id].labels(), self.moved, axis=0)


@dataclass
class Thresholder:
    """A predictor that takes dark components for nuclei, and stops after some images as Ctrl-C would."""

    name: str = "dark"
    stops_after: int = 10**9
    split: KnownSplit | None = None
    source: Mapping[str, Any] = field(default_factory=lambda: {"kind": "test"})
    seen: list[str] = field(default_factory=list)

    def label_image(self, sample_id: str, image: np.ndarray, mpp: float) -> np.ndarray:
        assert mpp == 0.25
        if len(self.seen) >= self.stops_after:
            raise Stopped(2)
        self.seen.append(sample_id)
        return np.asarray(label((image[..., 0] < 160) & (image[..., 1] > 0))[0], np.int32)


def known(split: Split) -> KnownSplit:
    train, validation = (frozenset(e.image_sha256 for e in side) for side in (split.train, split.validation))
    return KnownSplit(train, validation)
