"""Fine-tune a network on annotated images: datasets in, the weights at the end of the schedule out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from wsi_nucssl.datasets import implausible
from wsi_nucssl.errors import WeightsError
from wsi_nucssl.models.info import weights_path
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.train.crops import Crops, LabelledImage, single_threaded_opencv
from wsi_nucssl.train.distributed import make_accelerator, shared_run_directory
from wsi_nucssl.train.finetune_job import FinetuneJob
from wsi_nucssl.train.finetune_network import initial_network, seen_before
from wsi_nucssl.train.finetune_outputs import DONE, MODEL, FinetuneOutputs, Report
from wsi_nucssl.train.images import read_images
from wsi_nucssl.train.loop import Loop
from wsi_nucssl.train.losses import SegmentationLoss
from wsi_nucssl.train.segmentation import Segmentation

__all__ = ["MODEL", "FinetuneJob", "FinetuneResult", "Report", "finetune"]


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
    break_lock: bool = False,
    loader_threads: int = 1,
    report: Report | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> FinetuneResult:
    """Train `job` in the run directory `run`; docs/finetune.md says what it leaves there.

    Killed anywhere and resumed, it ends with the weights of an undisturbed run (on the CPU, bit for bit). An old run
    that has weights stays until the new one is done. Under `torchrun`, the processes share every step: `batch_size`
    crops each; the first validates and writes for all.

    Raises
    ------
    DatasetError
        An image or label cannot be used.
    OutputExists, OutputLocked, RunMismatch
        The run directory cannot be taken.
    Stopped
        Ctrl-C or SIGTERM; resume to go on.
    """
    accelerator = make_accelerator(device, job.recipe.precision)
    single_threaded_opencv()
    manifest = job.manifest(accelerator.num_processes)
    with shared_run_directory(
        accelerator,
        run,
        manifest,
        resume=resume,
        overwrite=overwrite,
        inputs=job.inputs,
        keep=MODEL,
        break_lock=break_lock,
    ) as place:
        if not (place / DONE).exists():
            _train(job, manifest, place, accelerator, loader_threads, report, warn)
        accelerator.wait_for_everyone()
        weights, validation_aji = weights_path(place).name, _validation_aji(place / DONE)
    return FinetuneResult(run / weights, validation_aji)


def _train(
    job: FinetuneJob,
    manifest: dict[str, Any],
    run: Path,
    accelerator: Accelerator,
    loader_threads: int,
    report: Report | None,
    warn: Callable[[str], None],
) -> None:
    """One process's part of a run: network, data, loop, outputs."""
    network, known = initial_network(job), seen_before(job)
    if accelerator.is_main_process:
        _warn_of_images(job, known, warn)
    training = read_images(
        job.dataset, job.split.train, job.mpp, job.weights, job.teachers, network.upscale, job.types
    )
    validation = read_images(job.dataset, job.split.validation, job.mpp)
    loop = _make_loop(job, network, training, accelerator, loader_threads)
    provenance = {**manifest, **({"seen_before": sorted(known)} if known else {})}
    outputs = FinetuneOutputs(job, provenance, run, loop, validation, report)
    outputs.begin()
    loop.run(outputs.epoch_steps, outputs.end_epoch, outputs.state)
    outputs.finish()


def _warn_of_images(job: FinetuneJob, known: frozenset[str], warn: Callable[[str], None]) -> None:
    for doubt in implausible(job.dataset.subset((*job.split.train_ids, *job.split.validation_ids))):
        warn(doubt)
    validation = job.split.validation
    if again := known & {entry.image_sha256 for entry in validation}:
        warn(
            f"what the network starts from was trained on {len(again)} of the {len(validation)} validation "
            "images: scores on them say nothing about new images"
        )


def _make_loop(
    job: FinetuneJob,
    network: ResUNet,
    training: Sequence[LabelledImage],
    accelerator: Accelerator,
    loader_threads: int,
) -> Loop:
    """The training loop at its first step; an epoch's steps times the epochs long."""
    recipe = job.recipe
    crops_per_step = recipe.batch_size * accelerator.num_processes
    epoch_steps = max(1, len(training) * recipe.crops_per_image // crops_per_step)
    task = Segmentation(
        Crops(training, recipe, job.seed, upscale=network.upscale, device=accelerator.device),
        SegmentationLoss(**recipe.loss.model_dump()).to(accelerator.device),
    )
    return Loop(network, task, epoch_steps * recipe.epochs, recipe.optimisation, accelerator, loader_threads)


def _validation_aji(done: Path) -> float | None:
    try:
        aji = json.loads(done.read_text())["validation_aji"]
        return None if aji is None else float(aji)
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"the run's end is damaged ({error})", path=done, remedy="Remove the file and ⟨resume⟩"
        ) from error
