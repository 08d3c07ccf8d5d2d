"""Fine-tune a network on annotated images: datasets in, the weights at the end of the schedule out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import imagecodecs
import torch
from accelerate import Accelerator

from wsi_nucssl._version import __version__
from wsi_nucssl.datasets import Dataset, Split, implausible
from wsi_nucssl.datasets.mpp import same_mpp
from wsi_nucssl.errors import UsageError, WeightsError
from wsi_nucssl.files import sha256_file, write_atomic
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.models.info import ModelInfo, weights_path
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.spec import DEFAULT_ARCHITECTURE, architecture
from wsi_nucssl.models.tensors import load_encoder, save_model
from wsi_nucssl.models.weights import load_model, seen_by
from wsi_nucssl.nuclei.instances import InstanceConfig
from wsi_nucssl.runs import digest
from wsi_nucssl.train.calibrate import Predicted, calibrate
from wsi_nucssl.train.crops import Crops, single_threaded_opencv
from wsi_nucssl.train.distributed import make_accelerator, shared_run_directory
from wsi_nucssl.train.history import History
from wsi_nucssl.train.images import read_images
from wsi_nucssl.train.loop import Loop
from wsi_nucssl.train.losses import SegmentationLoss
from wsi_nucssl.train.progress import Progress
from wsi_nucssl.train.recipe import Recipe
from wsi_nucssl.train.segmentation import Segmentation
from wsi_nucssl.train.validate import predictions, validate

MODEL: Final = "model.safetensors"
_DONE: Final = "done.json"
_CURVES: Final = (("loss",), ("validation_aji", "validation_dice1"), ("loader_share",))

Report = Callable[[Mapping[str, float]], None]
"""Called after each epoch with what was written to history.csv."""


@dataclass(frozen=True, slots=True)
class FinetuneJob:
    """Everything that decides the fine-tuned weights.

    Attributes
    ----------
    dataset : one, or several joined (`datasets.join_datasets`).
    arch : a key of `ARCHITECTURES`.
    encoder : where its encoder starts: "none", "imagenet", a pretraining run or a weights file.
    start : a model of the same architecture whose weights the whole network starts from; "" for none.
    mpp : µm per px that the network answers at, to which images are resampled.
    seed : of initialisation and of every crop.
    weights : how often a px of the dataset of that name is seen, relative to others; 1 where none is given.
    teachers : models whose mean probabilities are learnt beside the labels.
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

    def __post_init__(self) -> None:
        architecture(self.arch)
        if self.start and self.encoder != "none":
            raise UsageError(
                "a network that starts from a whole model has its encoder from there",
                remedy="Give ⟨start⟩ or ⟨encoder⟩",
            )
        if not self.split.train:
            raise UsageError("nothing to train on: the split holds no training image")
        Mpp.square(self.mpp)
        names = {sample.dataset for sample in self.dataset}
        for name, weight in self.weights.items():
            if names == {""}:
                raise UsageError("a lone dataset weighs what it weighs", remedy="Leave ⟨weight⟩ out")
            if name not in names or not 0 < weight < math.inf:
                raise UsageError(
                    f"dataset {name!r} cannot weigh {weight}",
                    remedy=f"Weights are positive; the datasets are {', '.join(sorted(names))}",
                )

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
            "recipe": self.recipe.model_dump(mode="json"),
            **({"image_mpp": digest(other)} if (other := self._other_mpp) else {}),
            **({"start": sha256_file(weights_path(self.start))} if self.start else {}),
            **({"weights": dict(self.weights)} if self.weights else {}),
            **(
                {"teachers": [sha256_file(weights_path(each)) for each in self.teachers]}
                if self.teachers
                else {}
            ),
            **({"processes": processes} if processes > 1 else {}),
        }


@dataclass(frozen=True, slots=True)
class FinetuneResult:
    """The weights of a run and their score on the validation images, if there are any."""

    weights: Path
    validation_aji: float | None


def finetune(
    job: FinetuneJob,
    run: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    loader_threads: int = 1,
    report: Report | None = None,
    warn: Callable[[str], None] = lambda _: None,
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
            _Finetuning(job, run, accelerator, loader_threads, report, warn).run()
        accelerator.wait_for_everyone()
        return FinetuneResult(weights_path(run), _validation_aji(run / _DONE))


def _validation_aji(done: Path) -> float | None:
    try:
        aji = json.loads(done.read_text())["validation_aji"]
        return None if aji is None else float(aji)
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"the run's end is damaged ({error})", path=done, remedy="Remove the file and ⟨resume⟩"
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
        warn: Callable[[str], None],
    ) -> None:
        recipe = job.recipe
        self.job, self.directory, self.accelerator, self.report = job, run, accelerator, report
        self.manifest = job.manifest(accelerator.num_processes)
        torch.manual_seed(job.seed)
        network = _initial(job)
        if accelerator.is_main_process:
            for doubt in implausible(job.dataset.subset((*job.split.train_ids, *job.split.validation_ids))):
                warn(doubt)
        training = read_images(
            job.dataset, job.split.train, job.mpp, job.weights, job.teachers, network.upscale
        )
        self.validation = read_images(job.dataset, job.split.validation, job.mpp)
        crops_per_step = recipe.batch_size * accelerator.num_processes
        self.epoch_steps = max(1, len(training) * recipe.crops_per_image // crops_per_step)
        task = Segmentation(
            Crops(training, recipe, job.seed, upscale=network.upscale, device=accelerator.device),
            SegmentationLoss(**recipe.loss.model_dump()).to(accelerator.device),
        )
        steps = self.epoch_steps * recipe.epochs
        self.loop = Loop(network, task, steps, recipe.optimisation, accelerator, loader_threads)
        self.state = run / "state.pt"
        if self.state.exists():
            self.loop.load(self.state)
        self.history = History(run, self.loop.step)
        self.seen_before = _seen_before(job)
        if again := self.seen_before & {entry.image_sha256 for entry in job.split.validation}:
            warn(
                f"what the network starts from was trained on {len(again)} of the {len(self.validation)} validation "
                "images: scores on them say nothing about new images"
            )
        self.config = InstanceConfig(regrow_px=recipe.boundary_px * 2)

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
            score = self._calibrate(self.directory / MODEL)
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
        scores: dict[str, Any] = {"epoch": epoch}
        if self.validation and (last or epoch % self.job.recipe.validate_every == 0):
            row |= self._validate(epoch, scores)
        self._save(scores)
        self.history.add(row)
        self.history.draw(_CURVES)
        self.loop.save(self.state)
        if self.report is not None:
            self.report(row)

    def _validate(self, epoch: int, scores: dict[str, Any]) -> dict[str, float]:
        """Score the network, add that to `scores`, and keep a picture of its errors on the worst image."""
        found = validate(self.network.eval(), self.validation, self.accelerator.device, self.config)
        mean_aji = round(found.mean_aji, 5)
        images = {name: round(value, 5) for name, value in found.aji.items()}
        scores |= {"validation_aji": mean_aji, "validation_images": images}
        picture = bytes(imagecodecs.png_encode(found.worst))
        write_atomic(self.directory / "overlays" / f"epoch-{epoch:04}.png", picture)
        self.history.show("worst validation image", found.worst, self.loop.step)
        return {"validation_aji": mean_aji, "validation_dice1": round(found.mean_dice1, 5)}

    def _calibrate(self, weights: Path) -> float | None:
        """Fit the extraction settings to the weights on the validation images; without any, keep the defaults."""
        if not self.validation:
            return None
        model, device = load_model(weights), self.accelerator.device
        network = model.network.to(device)
        pairs = zip(predictions(network, self.validation, device), self.validation, strict=True)
        own = [Predicted(image.id, planes, image.labels) for planes, image in pairs]
        found = calibrate({"validation": own}, self.config)
        images = {name: round(value, 5) for name, value in found.aji["validation"].items()}
        calibration = {"aji": round(found.mean_aji, 5), "images": images}
        provenance = {**model.info.provenance, "calibration": calibration}
        save_model(weights, network, replace(model.info, instances=found.config, provenance=provenance))
        return found.mean_aji

    def _save(self, scores: dict[str, Any]) -> None:
        before = {"seen_before": sorted(self.seen_before)} if self.seen_before else {}
        provenance = {**self.manifest, **before, "scores": scores}
        info = ModelInfo(self.directory.name, self.job.arch, self.job.mpp, self.config, provenance=provenance)
        save_model(self.directory / MODEL, self.network, info)


def _seen_before(job: FinetuneJob) -> frozenset[str]:
    """SHA-256 of the images that the models which a job starts from were trained on."""
    origins = [job.start] if job.start else [] if job.encoder in ("none", "imagenet") else [job.encoder]
    return frozenset().union(*(seen_by(origin) for origin in origins))


def _initial(job: FinetuneJob) -> ResUNet:
    """The network as it starts, from torch's random state and what the job names."""
    network = build(job.arch)
    if job.encoder != "none":
        load_encoder(network.encoder, job.encoder)
    if job.start:
        model = load_model(job.start)
        if model.info.arch != job.arch:
            raise WeightsError(
                f"holds a {model.info.arch}, but {job.arch} is to be trained",
                path=model.path,
                remedy=f"Give ⟨arch⟩ {model.info.arch}",
            )
        network.load_state_dict(model.network.state_dict())
    return network
