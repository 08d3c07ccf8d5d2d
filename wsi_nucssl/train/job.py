"""From what a user names (a folder, a fraction, a fold) to a fine-tuning job."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from wsi_nucssl.datasets import Dataset, Split, fraction, holdout, k_fold, open_dataset
from wsi_nucssl.errors import UsageError
from wsi_nucssl.train.finetune import FinetuneJob
from wsi_nucssl.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class SplitChoice:
    """How to split a dataset: a file, a fold, or the hold-out of a fifth of the images.

    Attributes
    ----------
    file : a split written earlier.
    fold : "i/k", the i-th of k folds, from 1.
    share : part of the training images that is used.
    """

    seed: int = 0
    file: Path | None = None
    fold: str = ""
    share: float = 1.0

    def apply(self, dataset: Dataset) -> Split:
        """The split of this dataset; one read from a file is checked against the images."""
        if self.file is not None and self.fold:
            raise UsageError("a split is either read or folded", remedy="Give --split or --fold")
        if self.file is not None:
            split = Split.read(self.file)
            split.verify(dataset)
        elif self.fold:
            split = self._fold(dataset)
        else:
            split = holdout(dataset, validation=max(1, round(len(dataset) / 5)), seed=self.seed)
        return split if self.share == 1 else fraction(split, self.share)

    def _fold(self, dataset: Dataset) -> Split:
        parts = re.fullmatch(r"(\d+)/(\d+)", self.fold)
        if not parts or not 1 <= int(parts[1]) <= int(parts[2]):
            raise UsageError(f"a fold is i/k with 1 ≤ i ≤ k, such as 1/5, not {self.fold!r}")
        return k_fold(dataset, k=int(parts[2]), seed=self.seed)[int(parts[1]) - 1]


def make_job(
    dataset: Path,
    *,
    split: SplitChoice,
    recipe: Recipe,
    arch: str = "resunet101",
    encoder: str = "none",
    mpp: float = 0.25,
    seed: int = 0,
) -> FinetuneJob:
    """Open the dataset, split it, and put the job together.

    Raises
    ------
    DatasetError : the folder holds no dataset, or not the one that the split was made on.
    UsageError : an impossible fold, share or architecture.
    """
    opened = open_dataset(dataset)
    return FinetuneJob(opened, split.apply(opened), recipe, arch=arch, encoder=encoder, mpp=mpp, seed=seed)
