"""Everything that decides a fine-tuned model, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from wsi_nucssl._version import __version__
from wsi_nucssl.checks import whole
from wsi_nucssl.datasets import Dataset, Split
from wsi_nucssl.errors import UsageError
from wsi_nucssl.files import sha256_file
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.models.info import weights_path
from wsi_nucssl.models.spec import DEFAULT_ARCHITECTURE, architecture
from wsi_nucssl.mpp import same_mpp
from wsi_nucssl.runs import digest
from wsi_nucssl.schema import OutputSchema, typed
from wsi_nucssl.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class FinetuneJob:
    """Everything that decides the fine-tuned weights.

    Attributes
    ----------
    dataset : Dataset
        One, or several joined (`datasets.join_datasets`).
    split : Split
        Split.
    recipe : Recipe
        Recipe.
    arch : str
        See `models.spec.architecture`.
    encoder : str
        Where its encoder starts: "none", "imagenet", a pretraining run or a weights file.
    mpp : float
        µm per px that the network answers at, to which images are resampled.
    seed : int
        Of initialisation and of every crop.
    weights : mapping of str to float
        How often a px of the dataset of that name is seen, relative to others; 1 where none is given.
    teachers : tuple of str
        Models whose mean probabilities are learnt beside the labels.
    start : str
        A model of the same architecture whose weights the whole network starts from; "" for none.
    types : tuple of str
        Names of the types of nuclei that the network learns to tell apart; none by default.

    Raises
    ------
    UsageError
        Nothing to train on, or settings that contradict one another.
    """

    dataset: Dataset
    split: Split
    recipe: Recipe
    arch: str = DEFAULT_ARCHITECTURE
    encoder: str = "none"
    mpp: float = 0.25
    seed: int = 0
    weights: Mapping[str, float] = field(default_factory=dict)
    teachers: tuple[str, ...] = ()
    start: str = ""
    types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        architecture(self.arch)
        if self.start and self.encoder != "none":
            raise UsageError(
                "a network that starts from a whole model has its encoder from there",
                remedy="Give ⟨start⟩ or ⟨encoder⟩",
            )
        if not self.split.train:
            raise UsageError("nothing to train on: the split holds no training image")
        Mpp.parse(self.mpp)
        typed(self.types)  # refuses what are no names
        whole("seed", self.seed, 0)
        names = {sample.dataset for sample in self.dataset}
        for name, weight in self.weights.items():
            if names == {""}:
                raise UsageError("a lone dataset weighs what it weighs", remedy="Leave ⟨weights⟩ out")
            if name not in names or not 0 < weight < math.inf:
                raise UsageError(
                    f"dataset {name!r} cannot weigh {weight}",
                    remedy=f"Weights are positive; the datasets are {', '.join(sorted(names))}",
                )

    @property
    def schema(self) -> OutputSchema:
        """What the network answers."""
        return typed(self.types)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files and folders that the job reads."""
        known = self.encoder in ("none", "imagenet")
        models = [*self.teachers, *([] if known else [self.encoder]), *([self.start] if self.start else [])]
        folders = sorted({sample.source.parent for sample in self.dataset})
        return (self.dataset.path, *folders, *map(weights_path, models))

    @property
    def _other_mpp(self) -> dict[str, float]:
        """µm per px of the images that are resampled, by id."""
        own = {sample.id: sample.mpp for sample in self.dataset}
        return {name: mpp for name, mpp in own.items() if mpp and not same_mpp(mpp, self.mpp)}

    def manifest(self, processes: int = 1) -> dict[str, Any]:
        """The run's identity: data by hash, settings by value, and the processes where there are several."""
        known = self.encoder in ("none", "imagenet")
        return {
            "kind": "finetune",
            "version": __version__,
            "torch": torch.__version__.split("+")[0],
            "arch": self.arch,
            "encoder": self.encoder if known else sha256_file(weights_path(self.encoder)),
            "mpp": self.mpp,
            "seed": self.seed,
            "split": asdict(self.split),
            "recipe": self.recipe.recorded(),
            **({"image_mpp": digest(other)} if (other := self._other_mpp) else {}),
            **({"start": sha256_file(weights_path(self.start))} if self.start else {}),
            **({"weights": dict(self.weights)} if self.weights else {}),
            **(
                {"teachers": [sha256_file(weights_path(each)) for each in self.teachers]}
                if self.teachers
                else {}
            ),
            **(
                {"types": {"names": self.types, "sha256": self.dataset.types_sha256(self.split.train_ids)}}
                if self.types
                else {}
            ),
            **({"processes": processes} if processes > 1 else {}),
        }
