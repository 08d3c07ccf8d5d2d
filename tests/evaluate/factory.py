"""Datasets, models and predictions small enough to benchmark in a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wsi_nucssl.datasets import Dataset, Split
from wsi_nucssl.evaluate.contestants import KnownSplit


@dataclass(frozen=True)
class Copycat:
    """A contestant that answers with the truth, moved down by some rows."""

    dataset: Dataset
    name: str = "copycat"
    moved: int = 0
    split: KnownSplit | None = None
    source: Mapping[str, Any] = field(default_factory=lambda: {"kind": "test"})

    def label_image(self, sample_id: str, image: np.ndarray) -> np.ndarray:
        assert image.dtype == np.uint8
        return np.roll(self.dataset[sample_id].labels(), self.moved, axis=0)


def known(split: Split) -> KnownSplit:
    train, validation = (frozenset(e.image_sha256 for e in side) for side in (split.train, split.validation))
    return KnownSplit(train, validation)
