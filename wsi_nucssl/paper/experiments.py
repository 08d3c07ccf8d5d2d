"""One experiment of a table: pretrain where the strategy wants it, fine-tune, score; each a run that can be resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import imagecodecs

from wsi_nucssl.datasets import DEFAULT_MPP, Dataset, Split
from wsi_nucssl.files import write_atomic
from wsi_nucssl.models.devices import Device
from wsi_nucssl.models.spec import ARCHITECTURES
from wsi_nucssl.paper.run_scores import MeanScores, score_run
from wsi_nucssl.paper.tables import WITHOUT_PRETRAINING, Budget, Changes, Column, Row
from wsi_nucssl.runs import digest
from wsi_nucssl.train.finetune import finetune
from wsi_nucssl.train.finetune_job import FinetuneJob
from wsi_nucssl.train.job import SplitChoice
from wsi_nucssl.train.pretrain import pretrain
from wsi_nucssl.train.pretrain_job import PretrainJob
from wsi_nucssl.train.recipe import merged

RUNS: Final = "runs"
"""Folder of all runs, in that of the tables."""


def _pretrain(job: PretrainJob, run: Path, device: Device) -> Path:
    return pretrain(job, run, device=device, resume=True).weights


def _finetune(job: FinetuneJob, run: Path, device: Device) -> None:
    finetune(job, run, device=device, resume=True)


@dataclass(frozen=True, slots=True)
class Steps:
    """What an experiment consists of; each goes on where it was.

    Attributes
    ----------
    pretrain : Callable
        Job, run and device to the file of the encoder.
    finetune : Callable
        Job, run and device.
    score : Callable
        A finished run, the dataset that it was trained on, a test set or None, and the device to mean scores.
    """

    pretrain: Callable[[PretrainJob, Path, Device], Path] = _pretrain
    finetune: Callable[[FinetuneJob, Path, Device], None] = _finetune
    score: Callable[[Path, Dataset, Dataset | None, Device], MeanScores] = score_run


@dataclass(frozen=True, slots=True)
class Setup:
    """What all experiments of a table have in common.

    Attributes
    ----------
    dataset : Dataset
        To train and validate on.
    test : Dataset | None
        Scored instead of the validation images, if given.
    budget : Budget
        What an experiment may cost.
    out : Path
        Runs go to `out`/runs; experiments with the same settings share one, whatever their table.
    device : Device
        "auto" or "cpu".
    unlabelled : tuple[Path, ...]
        Further slides, images or tile stores to pretrain on.
    steps : Steps
        How each part is done.
    """

    dataset: Dataset
    test: Dataset | None
    budget: Budget
    out: Path
    device: Device = "auto"
    unlabelled: tuple[Path, ...] = ()
    steps: Steps = field(default_factory=Steps)

    @property
    def runs(self) -> Path:
        """Folder of all runs."""
        return self.out / RUNS

    def unlabelled_copy(self, name: str, sha256: str) -> Path:
        """An image alone in a file at the mpp that networks answer at, named by its own pixels and mpp."""
        sample = self.dataset[name]
        path = self.out / "images" / f"{name}-{sha256[:8]}-{sample.mpp or DEFAULT_MPP:g}.png"
        if not path.exists():
            write_atomic(path, bytes(imagecodecs.png_encode(sample.image_at(DEFAULT_MPP))))
        return path


@dataclass(frozen=True, slots=True)
class Experiment:
    """A row and a column of a table, on a setup."""

    setup: Setup
    row: Row
    column: Column

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.row.name}, {self.column.name}"

    def check(self) -> None:
        """Refuse an experiment whose changes name what is not there, before anything is run.

        Raises
        ------
        UsageError
            An unknown setting, a value out of range, a fold or fraction that is not there.
        """
        self._labelled()
        self.setup.budget.finetune.changed(self._changes)
        self.setup.budget.pretrain.changed(self.row.pretrain)

    def run(self, seed: int) -> MeanScores:
        """Mean over images of each metric; runs what is not done yet.

        Raises
        ------
        WsiNucsslError
            A run cannot be made.
        """
        setup, row, labelled = self.setup, self.row, self._labelled()
        pretrained = row.strategy not in WITHOUT_PRETRAINING
        job = FinetuneJob(
            setup.dataset,
            labelled,
            setup.budget.finetune.changed(self._changes),
            arch=self._arch,
            encoder=str(self._pretrain(seed)) if pretrained else row.strategy,
            seed=seed,
        )
        mark = _mark({"finetune": self._changes, "pretrain": row.pretrain if pretrained else {}})
        run = setup.runs / f"{self._prefix}{row.strategy}-{_slug(labelled.name)}-seed{seed}{mark}"
        setup.steps.finetune(job, run, setup.device)
        return setup.steps.score(run, setup.dataset, setup.test, setup.device)

    @property
    def _arch(self) -> str:
        return self.row.arch or self.setup.budget.arch

    @property
    def _prefix(self) -> str:
        """Tells the runs of a row with an architecture of its own from those of the budget's."""
        return f"{self.row.arch}-" if self.row.arch else ""

    @property
    def _changes(self) -> Changes:
        changes = merged(self.row.finetune, self.column.finetune)
        if self.row.cost == 1:
            return changes
        crops = self.setup.budget.finetune.changed(changes).crops_per_image
        return merged(changes, {"crops_per_image": max(1, round(crops / self.row.cost))})

    def _labelled(self) -> Split:
        """The split, with as many training labels as the column has."""
        return SplitChoice(0, fold=self.column.fold, fraction=self.column.fraction).apply(self.setup.dataset)

    def _pretrain(self, seed: int) -> Path:
        """Pretrain on the split's training images, without their labels; returns the encoder's file."""
        setup, row = self.setup, self.row
        split = SplitChoice(0, fold=self.column.fold).apply(setup.dataset)
        images = [setup.unlabelled_copy(entry.id, entry.image_sha256) for entry in split.train]
        fixed = setup.budget.pretrain_seed
        seed = seed if fixed is None else fixed
        job = PretrainJob(
            (*images, *setup.unlabelled),
            setup.budget.pretrain.changed(row.pretrain),
            task=row.strategy,
            arch=ARCHITECTURES[self._arch].encoder,
            mpp=DEFAULT_MPP * ARCHITECTURES[self._arch].upscale,
            seed=seed,
        )
        mark = _mark({"pretrain": row.pretrain})
        name = f"{self._prefix}pretrain-{row.strategy}-{_slug(split.name)}-seed{seed}{mark}"
        return setup.steps.pretrain(job, setup.runs / name, setup.device)


def _slug(split_name: str) -> str:
    return split_name.replace("%", "pct")


def _mark(changes: dict[str, Changes]) -> str:
    """Tells the runs of a row or column that changes a recipe from those of the budget's own."""
    return f"-{digest(changes)[:8]}" if any(changes.values()) else ""
