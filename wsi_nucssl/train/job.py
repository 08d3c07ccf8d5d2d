"""From what a user names (folders, a fraction, a fold) to a fine-tuning job."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_nucssl.annotation_classes import REGION
from wsi_nucssl.checks import whole, within
from wsi_nucssl.datasets import (
    Dataset,
    Split,
    everything,
    hold_out_dataset,
    holdout,
    k_fold,
    open_datasets,
)
from wsi_nucssl.datasets import fraction as fraction_of
from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.spec import DEFAULT_ARCHITECTURE
from wsi_nucssl.train.finetune_job import FinetuneJob
from wsi_nucssl.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class SplitChoice:
    """How to split a dataset: a file, a fold, whole datasets held out, nothing, or a fifth of the images.

    Attributes
    ----------
    file : Path or None
        A split written earlier.
    fold : str
        "i/k", the i-th of k folds, from 1.
    fraction : float
        Part of the training images that is used.
    held_out : tuple of str
        Names of joined datasets that validate and never train.
    train_all : bool
        Hold nothing out.
    """

    seed: int = 0
    file: Path | None = None
    fold: str = ""
    fraction: float = 1.0
    held_out: tuple[str, ...] = ()
    train_all: bool = False

    def __post_init__(self) -> None:
        whole("seed", self.seed, 0)
        within("fraction", self.fraction, 0, 1, above=True)

    def apply(self, dataset: Dataset) -> Split:
        """The split of this dataset; one read from a file is checked against the images."""
        ways = (self.file is not None, bool(self.fold), bool(self.held_out), self.train_all)
        if sum(ways) > 1:
            raise UsageError(
                "a split is either read, folded, by dataset, or of everything",
                remedy="Give one of ⟨split⟩, ⟨fold⟩, ⟨hold_out⟩, ⟨train_all⟩",
            )
        split = self._split(dataset)
        return split if self.fraction == 1 else fraction_of(split, self.fraction)

    def _split(self, dataset: Dataset) -> Split:
        if self.file is not None:
            split = Split.read(self.file)
            split.verify(dataset)
            return split
        if self.fold:
            return self._fold(dataset)
        if self.held_out:
            return hold_out_dataset(dataset, self.held_out)
        if self.train_all:
            return everything(dataset)
        return holdout(dataset, validation=max(1, round(len(dataset) / 5)), seed=self.seed)

    def _fold(self, dataset: Dataset) -> Split:
        parts = re.fullmatch(r"(\d+)/(\d+)", str(self.fold))
        if not parts or not 1 <= int(parts[1]) <= int(parts[2]):
            raise UsageError(f"⟨fold⟩ is i/k with 1 ≤ i ≤ k, such as 1/5, not {self.fold!r}")
        return k_fold(dataset, k=int(parts[2]), seed=self.seed)[int(parts[1]) - 1]


def make_job(
    datasets: Sequence[Path],
    *,
    split: SplitChoice,
    recipe: Recipe,
    arch: str = DEFAULT_ARCHITECTURE,
    encoder: str = "none",
    start: str = "",
    own_mpp: float | None = None,
    regions: str = REGION,
    classes: str | Sequence[str] = (),
    seed: int = 0,
    weights: Mapping[str, float] | None = None,
    teachers: Sequence[str] = (),
    types: bool = False,
) -> FinetuneJob:
    """Open the datasets, join and split them, and put the job together.

    Parameters
    ----------
    own_mpp : float, optional
        µm per px of the images of which no file states it.
    regions, classes : str, and str or sequence of str
        Which objects of annotation files count, as `open_dataset` takes them.
    weights : mapping of str to float, optional
        How often a px of the dataset of that name is seen, relative to others.
    types : bool
        Learn to tell the datasets' types of nuclei apart.

    Raises
    ------
    DatasetError
        A folder holds no dataset, not the one that the split was made on, or contradicts `own_mpp`.
    UsageError
        An impossible fold, fraction, weight or architecture, or `types` of datasets that have none.
    """
    joined = open_datasets(datasets, mpp=own_mpp, regions=regions, classes=classes)
    if types and not joined.type_names:
        raise UsageError(
            "the annotations do not tell types of nuclei apart",
            remedy="Leave ⟨types⟩ out, or give a dataset that has types, such as PanNuke's",
        )
    return FinetuneJob(
        joined,
        split.apply(joined),
        recipe,
        arch=arch,
        encoder=encoder,
        start=start,
        seed=seed,
        weights=weights or {},
        teachers=tuple(teachers),
        types=joined.type_names if types else (),
    )


def parse_weights(texts: Sequence[str]) -> dict[str, float]:
    """Weights of datasets from "NAME=W" each.

    Raises
    ------
    UsageError
        A text is not of that form.
    """
    found = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            name = ""
        if not name:
            raise UsageError(f"a weight is NAME=W, not {text!r}", remedy="Such as ⟨weights⟩ tnbc=0.5")
    return found
