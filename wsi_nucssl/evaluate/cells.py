"""One cell of a table: pretrain where the strategy wants it, fine-tune, score; each a run that can be resumed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import imagecodecs

from wsi_nucssl.datasets import DEFAULT_MPP, Dataset, Split
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.evaluate.benchmark import RESULTS, benchmark
from wsi_nucssl.evaluate.contestants import Network
from wsi_nucssl.evaluate.tables import WITHOUT_PRETRAINING, Budget, Changes, Column, Row
from wsi_nucssl.files import safe_stem, sha256_file, write_atomic
from wsi_nucssl.models.devices import Device
from wsi_nucssl.models.info import weights_path
from wsi_nucssl.models.spec import ARCHITECTURES
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.pretext.tasks import TaskName
from wsi_nucssl.runs import digest
from wsi_nucssl.train.finetune import FinetuneJob, finetune
from wsi_nucssl.train.job import SplitChoice
from wsi_nucssl.train.pretrain import PretrainJob, pretrain
from wsi_nucssl.train.recipe import merged

Scores = dict[str, float]


@dataclass(frozen=True, slots=True)
class Bench:
    """What all cells have in common.

    Attributes
    ----------
    dataset : to train and validate on.
    test : scored instead of the validation images, if given.
    unlabelled : further slides, images or tile stores to pretrain on.
    out : runs go to `out`/runs; cells with the same settings share one, whatever their table.
    device : "auto" or "cpu".
    """

    dataset: Dataset
    test: Dataset | None
    budget: Budget
    out: Path
    device: Device = "auto"
    unlabelled: tuple[Path, ...] = ()

    def check(self, row: Row, column: Column) -> None:
        """Refuse a cell whose changes name what is not there, before anything is run.

        Raises
        ------
        UsageError : an unknown setting, a value out of range, a fold or share that is not there.
        """
        SplitChoice(0, fold=column.fold, share=column.share).apply(self.dataset)
        self.budget.finetune.changed(merged(row.finetune, column.finetune))
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
        changes = merged(row.finetune, column.finetune)
        job = FinetuneJob(
            self.dataset,
            few,
            self.budget.finetune.changed(changes),
            arch=self._arch(row),
            encoder=encoder,
            seed=seed,
        )
        mark = _mark({"finetune": changes, "pretrain": row.pretrain if pretrained else {}})
        run = self.out / "runs" / f"{self._prefix(row)}{row.strategy}-{_slug(few.name)}-seed{seed}{mark}"
        finetune(job, run, device=self.device, resume=True)
        return self._benchmark(run)

    def _arch(self, row: Row) -> str:
        return row.arch or self.budget.arch

    def _prefix(self, row: Row) -> str:
        """Tells the runs of a row with an architecture of its own from those of the budget's."""
        return f"{row.arch}-" if row.arch else ""

    def _pretrain(self, row: Row, split: Split, seed: int) -> Path:
        """Pretrain on the split's training images, without their labels; returns the encoder's file."""
        images = [self._unlabelled_copy(entry.id, entry.image_sha256) for entry in split.train]
        fixed = self.budget.pretrain_seed
        seed = seed if fixed is None else fixed
        job = PretrainJob(
            (*images, *self.unlabelled),
            self.budget.pretrain.changed(row.pretrain),
            task=cast(TaskName, row.strategy),
            arch=ARCHITECTURES[self._arch(row)].encoder,
            mpp=DEFAULT_MPP * ARCHITECTURES[self._arch(row)].upscale,
            seed=seed,
        )
        mark = _mark({"pretrain": row.pretrain})
        run = (
            self.out
            / "runs"
            / f"{self._prefix(row)}pretrain-{row.strategy}-{_slug(split.name)}-seed{seed}{mark}"
        )
        return pretrain(job, run, device=self.device, resume=True).weights

    def _unlabelled_copy(self, name: str, sha256: str) -> Path:
        """An image alone in a file at the mpp that networks answer at, named by its own pixels and mpp."""
        sample = self.dataset[name]
        path = self.out / "images" / f"{name}-{sha256[:8]}-{sample.mpp or DEFAULT_MPP:g}.png"
        if not path.exists():
            write_atomic(path, bytes(imagecodecs.png_encode(sample.image_at(DEFAULT_MPP))))
        return path

    def _benchmark(self, run: Path) -> Scores:
        """Score a finished run as `segment` predicts by default, unless these weights were on these images before."""
        scored = f"on-{safe_stem(self.test.path)}" if self.test else "on-validation"
        folder = run.with_name(f"{run.name}-{scored}")
        images = self.test or self.dataset
        known = _scores(folder, run, images if self.test else None)
        if known is None:
            model = load_model(run)
            network = Network(model, open_engine(model, self.device, "torch"))
            benchmark(
                images,
                [network],
                folder,
                split="all" if self.test else "auto",
                split_file=None if self.test else run / "split.json",
                overlays=False,
                overwrite=True,
            )
            known = _scores(folder, run, None)
            assert known is not None
        return known


def _slug(split_name: str) -> str:
    return split_name.replace("%", "pct")


def _mark(changes: dict[str, Changes]) -> str:
    """Tells the runs of a row or column that changes a recipe from those of the budget's own."""
    return f"-{digest(changes)[:8]}" if any(changes.values()) else ""


def _scores(folder: Path, run: Path, images: Dataset | None) -> Scores | None:
    """The mean scores in a benchmark's folder, if they are of this run's weights, and of these images if any."""
    try:
        results = json.loads((folder / RESULTS).read_text())
    except (FileNotFoundError, ValueError):
        return None
    (model,) = results["models"].values()
    if model["source"]["weights_sha256"] != sha256_file(weights_path(run)):
        return None
    if images is not None:
        scored = {
            name: (entry["image_sha256"], entry["label_sha256"])
            for name, entry in results["dataset"]["images"].items()
        }
        if scored != {sample.id: sample.hashes() for sample in images}:
            return None
    mean: Scores = model["mean"]
    return mean
