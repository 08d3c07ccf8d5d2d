"""One cell of a table: pretrain where the strategy wants it, fine-tune, score; each a run that can be resumed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import imagecodecs

from wsi_nucssl.datasets import Dataset, Split
from wsi_nucssl.evaluate.benchmark import RESULTS, benchmark
from wsi_nucssl.evaluate.contestants import Network
from wsi_nucssl.evaluate.tables import WITHOUT_PRETRAINING, Budget, Changes, Column, Row
from wsi_nucssl.files import safe_stem, write_atomic
from wsi_nucssl.models.spec import ARCHITECTURES
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.pretext.tasks import TaskName
from wsi_nucssl.runs import digest
from wsi_nucssl.segment.engine import open_engine
from wsi_nucssl.segment.options import Device
from wsi_nucssl.train.finetune import FinetuneJob, finetune
from wsi_nucssl.train.job import SplitChoice
from wsi_nucssl.train.pretrain import PretrainJob, pretrain

Scores = dict[str, float]


@dataclass(frozen=True, slots=True)
class Bench:
    """What all cells have in common.

    Attributes
    ----------
    dataset : to train and validate on.
    test : scored instead of the validation images, if given.
    mpp : µm per px of both.
    unlabelled : further slides, images or tile stores to pretrain on.
    out : runs go to `out`/runs; cells with the same settings share one, whatever their table.
    device : "auto" or "cpu".
    """

    dataset: Dataset
    test: Dataset | None
    mpp: float
    budget: Budget
    out: Path
    device: Device = "auto"
    unlabelled: tuple[Path, ...] = ()

    def check(self, row: Row, column: Column) -> None:
        """Refuse a cell whose changes name what is not there, before anything is run.

        Raises
        ------
        UsageError : an unknown setting or a value out of range.
        """
        self.budget.finetune.changed(row.finetune).changed(column.finetune)
        self.budget.pretrain.changed(row.pretrain)

    def score(self, row: Row, column: Column, seed: int) -> Scores:
        """Mean over images of each measure in a cell; runs what is not done yet.

        Raises
        ------
        WsiNucsslError : a run cannot be made.
        """
        split = SplitChoice(0, fold=column.fold).apply(self.dataset)
        few = SplitChoice(0, fold=column.fold, share=column.share).apply(self.dataset)
        pretrained = row.strategy not in WITHOUT_PRETRAINING
        encoder = str(self._pretrain(row, split, seed)) if pretrained else row.strategy
        job = FinetuneJob(
            self.dataset,
            few,
            self.budget.finetune.changed(row.finetune).changed(column.finetune),
            arch=self.budget.arch,
            encoder=encoder,
            mpp=self.mpp,
            seed=seed,
        )
        changes = {
            "finetune": {**column.finetune, **row.finetune},
            "pretrain": row.pretrain if pretrained else {},
        }
        run = self.out / "runs" / f"{row.strategy}-{_slug(few.name)}-seed{seed}{_mark(changes)}"
        finetune(job, run, device=self.device, resume=True)
        return self._benchmark(run)

    def _pretrain(self, row: Row, split: Split, seed: int) -> Path:
        """Pretrain on the split's training images, without their labels; returns the encoder's file."""
        images = self.out / "images" / _slug(split.name)
        for name in split.train_ids:
            if not (images / f"{name}.png").exists():
                pixels = bytes(imagecodecs.png_encode(self.dataset[name].image()))
                write_atomic(images / f"{name}.png", pixels)
        fixed = self.budget.pretrain_seed
        seed = seed if fixed is None else fixed
        job = PretrainJob(
            (images, *self.unlabelled),
            self.budget.pretrain.changed(row.pretrain),
            task=cast(TaskName, row.strategy),
            arch=ARCHITECTURES[self.budget.arch].encoder,
            mpp=self.mpp,
            seed=seed,
        )
        mark = _mark({"pretrain": row.pretrain})
        run = self.out / "runs" / f"pretrain-{row.strategy}-{_slug(split.name)}-seed{seed}{mark}"
        return pretrain(job, run, device=self.device, resume=True).weights

    def _benchmark(self, run: Path) -> Scores:
        """Score a finished run as `segment` predicts by default, unless that was done before."""
        scored = f"on-{safe_stem(self.test.path)}" if self.test else "on-validation"
        folder = run.with_name(f"{run.name}-{scored}")
        if not (folder / RESULTS).exists():
            model = load_model(run)
            engine = open_engine(model, self.device, "torch")
            network = Network(model, engine, self.mpp)
            split = None if self.test else run / "split.json"
            benchmark(self.test or self.dataset, [network], folder, split_file=split, overlays=False)
        (model_scores,) = json.loads((folder / RESULTS).read_text())["models"].values()
        mean: Scores = model_scores["mean"]
        return mean


def _slug(split_name: str) -> str:
    return split_name.replace("%", "pct")


def _mark(changes: dict[str, Changes]) -> str:
    """Tells the runs of a row or column that changes a recipe from those of the budget's own."""
    return f"-{digest(changes)[:8]}" if any(changes.values()) else ""
