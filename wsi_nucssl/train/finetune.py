"""Fine-tune a ResUNet on annotated images: dataset in, the best weights by validation AJI out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import imagecodecs
import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

import wsi_nucssl
from wsi_nucssl.datasets import Dataset, Split
from wsi_nucssl.errors import DatasetError, UsageError, WeightsError
from wsi_nucssl.files import sha256_file, write_atomic
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.spec import architecture, build
from wsi_nucssl.models.weights import ModelInfo, load_encoder, load_model, save_model, weights_path
from wsi_nucssl.nuclei.instances import InstanceConfig
from wsi_nucssl.train.crops import Annotated, Crops, single_threaded_opencv
from wsi_nucssl.train.distributed import make_accelerator, shared_run_directory
from wsi_nucssl.train.history import History
from wsi_nucssl.train.loop import Batch, Loop
from wsi_nucssl.train.losses import SegmentationLoss
from wsi_nucssl.train.progress import Progress
from wsi_nucssl.train.recipe import Recipe
from wsi_nucssl.train.validate import calibrate, predictions, validate

BEST: Final = "best.safetensors"
_DONE: Final = "done.json"
_CURVES: Final = (("loss",), ("validation_aji", "validation_dice1"), ("loader_share",))

Report = Callable[[Mapping[str, float]], None]
"""Called after each epoch with what was written to history.csv."""


@dataclass(frozen=True, slots=True)
class FinetuneJob:
    """Everything that decides the fine-tuned weights.

    Attributes
    ----------
    arch : a key of `ARCHITECTURES`.
    encoder : where its encoder starts: "none", "imagenet", a pretraining run or a weights file.
    mpp : µm per px of the dataset.
    seed : of initialisation and of every crop.
    """

    dataset: Dataset
    split: Split
    recipe: Recipe
    arch: str = "resunet101"
    encoder: str = "none"
    mpp: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        architecture(self.arch)
        if not self.split.train:
            raise UsageError("nothing to train on: the split holds no training image")
        Mpp.square(self.mpp)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files and folders that the job reads."""
        known = self.encoder in ("none", "imagenet")
        return (self.dataset.path,) if known else (self.dataset.path, weights_path(self.encoder))

    def manifest(self, processes: int = 1) -> dict[str, Any]:
        """The run's identity: data by hash, settings by value, and the processes where there are several."""
        known = self.encoder in ("none", "imagenet")
        return {
            "kind": "finetune",
            "version": wsi_nucssl.__version__,
            "torch": torch.__version__.split("+")[0],
            "arch": self.arch,
            "encoder": self.encoder if known else sha256_file(weights_path(self.encoder)),
            "mpp": self.mpp,
            "seed": self.seed,
            "split": asdict(self.split),
            "recipe": self.recipe.model_dump(mode="json"),
            **({"processes": processes} if processes > 1 else {}),
        }


@dataclass(frozen=True, slots=True)
class FinetuneResult:
    """The best weights of a run and their scores on the validation images."""

    weights: Path
    validation_aji: float


class _Segmentation:
    """Crops and the segmentation loss, as a `Task`."""

    def __init__(self, crops: Crops, loss: SegmentationLoss) -> None:
        self.crops, self.criterion = crops, loss

    def batch(self, index: int) -> Batch:
        return self.crops.batch(index)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        image = batch["image"].float().contiguous(memory_format=torch.channels_last)
        return self.criterion(model(image), batch["classes"]), {}


def finetune(
    job: FinetuneJob,
    run: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    loader_threads: int = 1,
    report: Report | None = None,
) -> FinetuneResult:
    """Train `job` in the run directory `run`; docs/finetune.md says what it leaves there.

    Killed anywhere and resumed, it ends with the weights of an undisturbed run (on the CPU, bit for bit). Under
    `torchrun`, the processes share every step: `batch_size` crops each; the first validates and writes for all.

    Raises
    ------
    DatasetError : an image or label cannot be used.
    OutputExists, OutputLocked, RunMismatch : the run directory cannot be taken.
    Stopped : Ctrl-C or SIGTERM; resume to go on.
    """
    accelerator = make_accelerator(device, job.recipe.precision)
    single_threaded_opencv()
    manifest = job.manifest(accelerator.num_processes)
    with shared_run_directory(
        accelerator, run, manifest, resume=resume, overwrite=overwrite, inputs=job.inputs
    ):
        if not (run / _DONE).exists():
            _Finetuning(job, run, accelerator, loader_threads, report).run()
        accelerator.wait_for_everyone()
        return FinetuneResult(weights_path(run), _validation_aji(run / _DONE))


def _validation_aji(done: Path) -> float:
    try:
        return float(json.loads(done.read_text())["validation_aji"])
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"the run's end is damaged ({error})", path=done, remedy="Remove the file and --resume"
        ) from error


class _Finetuning:
    """One process's part of a fine-tuning run: the loop, and what happens at the end of each epoch."""

    def __init__(
        self,
        job: FinetuneJob,
        run: Path,
        accelerator: Accelerator,
        loader_threads: int,
        report: Report | None,
    ) -> None:
        recipe = job.recipe
        self.job, self.directory, self.accelerator, self.report = job, run, accelerator, report
        self.manifest = job.manifest(accelerator.num_processes)
        torch.manual_seed(job.seed)
        network = build(job.arch)
        if job.encoder != "none":
            load_encoder(network.encoder, job.encoder)
        training, self.validation = (
            [_read(job.dataset, name) for name in ids]
            for ids in (job.split.train_ids, job.split.validation_ids)
        )
        crops_per_step = recipe.batch_size * accelerator.num_processes
        self.epoch_steps = max(1, len(training) * recipe.crops_per_image // crops_per_step)
        task = _Segmentation(
            Crops(training, recipe, job.seed),
            SegmentationLoss(recipe.loss.class_weights, recipe.loss.dice).to(accelerator.device),
        )
        steps = self.epoch_steps * recipe.epochs
        self.loop = Loop(network, task, steps, recipe.optimisation, accelerator, loader_threads)
        self.state = run / "state.pt"
        if self.state.exists():
            self.loop.load(self.state)
        self.history = History(run, self.loop.step)
        self.best = max((row.get("validation_aji", -1.0) for row in self.history.rows), default=-1.0)
        self.config = InstanceConfig(regrow_px=recipe.band_px * 2)

    @property
    def network(self) -> ResUNet:
        network = self.loop.result
        assert isinstance(network, ResUNet)
        return network

    def run(self) -> None:
        first = self.accelerator.is_main_process
        if first:
            self.job.split.write(self.directory / "split.json")
        self.loop.run(self.epoch_steps, self._end_epoch, self.state)
        if first:
            score = self._calibrate(self.directory / BEST)
            write_atomic(self.directory / _DONE, json.dumps({"validation_aji": score}))

    def _end_epoch(self, progress: Progress) -> None:
        if not self.accelerator.is_main_process:
            return
        epoch = -(-progress.step // self.epoch_steps)
        row = {
            "step": progress.step,
            "epoch": epoch,
            "seconds": round(progress.seconds, 2),
            "loader_share": round(progress.loader_share, 4),
            **{name: round(value, 5) for name, value in progress.scalars.items()},
        }
        last = epoch == self.job.recipe.epochs
        if self.validation and (last or epoch % self.job.recipe.validate_every == 0):
            row |= self._validate(epoch)
        elif not self.validation:
            self._save_best({"epoch": epoch})
        self.history.add(row)
        self.history.draw(_CURVES)
        self.loop.save(self.state)
        if self.report is not None:
            self.report(row)

    def _validate(self, epoch: int) -> dict[str, float]:
        """Score the network; if it is the best so far, keep its weights and a picture of its errors."""
        scores = validate(self.network.eval(), self.validation, self.accelerator.device, self.config)
        mean_aji = round(scores.mean_aji, 5)
        if mean_aji > self.best:
            self.best = mean_aji
            images = {name: round(value, 5) for name, value in scores.aji.items()}
            self._save_best({"epoch": epoch, "validation_aji": mean_aji, "validation_images": images})
            picture = bytes(imagecodecs.png_encode(scores.worst))
            write_atomic(self.directory / "overlays" / f"epoch-{epoch:04}.png", picture)
            self.history.show("worst validation image", scores.worst, self.loop.step)
        return {"validation_aji": mean_aji, "validation_dice1": round(scores.mean_dice1, 5)}

    def _calibrate(self, weights: Path) -> float:
        """Fit the extraction settings to the best weights on the validation images; without any, keep the defaults."""
        if not self.validation:
            return 0.0
        model, device = load_model(weights), self.accelerator.device
        network = model.network.to(device)
        planes = list(predictions(network, self.validation, device))
        found = calibrate(planes, self.validation, self.config)
        calibration = {
            "aji": round(found.mean_aji, 5),
            "images": {name: round(value, 5) for name, value in found.aji.items()},
        }
        provenance = {**model.info.provenance, "calibration": calibration}
        save_model(weights, network, replace(model.info, instances=found.config, provenance=provenance))
        return found.mean_aji

    def _save_best(self, scores: dict[str, Any]) -> None:
        provenance = {**self.manifest, "scores": scores}
        info = ModelInfo(self.directory.name, self.job.arch, self.job.mpp, self.config, provenance=provenance)
        save_model(self.directory / BEST, self.network, info)


def _read(dataset: Dataset, name: str) -> Annotated:
    image, labels = dataset[name].pair()
    if int(labels.max(initial=0)) > np.iinfo(np.uint16).max:
        raise DatasetError(
            f"{name} has a label above 65,535",
            path=dataset[name].source,
            remedy="Number its nuclei from 1 on",
        )
    return Annotated(name, image, labels.astype(np.uint16))
