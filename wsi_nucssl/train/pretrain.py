"""Pretrain an encoder on slides without a label: slides in, weights for `finetune` out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wsi_nucssl.captions import Item, Swatch, captioned
from wsi_nucssl.files import write_atomic
from wsi_nucssl.outputs import check_output
from wsi_nucssl.pictures import png
from wsi_nucssl.pretext.groups import FindTiles
from wsi_nucssl.pretext.preview import COLOURS, contact_sheet
from wsi_nucssl.pretext.sources import open_source
from wsi_nucssl.train.crops import single_threaded_opencv
from wsi_nucssl.train.distributed import make_accelerator, shared_run_directory
from wsi_nucssl.train.pretrain_job import PretrainJob
from wsi_nucssl.train.pretrain_loop import make_batches, make_loop
from wsi_nucssl.train.pretrain_outputs import ENCODER, PretrainOutputs, Report

__all__ = ["ENCODER", "PretrainJob", "PretrainResult", "Report", "pretrain", "preview"]


@dataclass(frozen=True, slots=True)
class PretrainResult:
    """What a finished run leaves: encoder weights, and the means of its last interval."""

    weights: Path
    last: Mapping[str, float]


def pretrain(
    job: PretrainJob,
    run: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    break_lock: bool = False,
    loader_threads: int = 1,
    report: Report = lambda _row, _warning: None,
    find: FindTiles | None = None,
) -> PretrainResult:
    """Train `job` in the run directory `run`.

    Leaves encoder.safetensors for `finetune`, pretext.safetensors (with the head, for density maps and
    probes), history.csv and curves.png. Killed anywhere and resumed, it ends with the weights of an undisturbed run
    (on the CPU, bit for bit). An old run that has weights stays until the new one is done. Under `torchrun`, the
    processes share every batch: `batch_size` tiles each.

    Raises
    ------
    InputError
        A slide cannot be used, or there is no tissue.
    OutputExists, OutputLocked, RunMismatch
        The run directory cannot be taken.
    ResourceError
        Not even one tile fits into the device's memory, or the disk is full.
    Stopped
        Ctrl-C or SIGTERM; resume to go on.
    """
    accelerator = make_accelerator(device, job.recipe.precision)
    single_threaded_opencv()
    with open_source(job.sources, job.tiles, job.seed, find) as source:
        manifest = job.manifest(source, accelerator.num_processes)
        with shared_run_directory(
            accelerator,
            run,
            manifest,
            resume=resume,
            overwrite=overwrite,
            break_lock=break_lock,
            inputs=job.sources,
            keep=ENCODER,
        ) as place:
            batches = make_batches(job, source)
            loop = make_loop(job, batches, accelerator, loader_threads)
            outputs = PretrainOutputs(job, manifest, place, loop, batches.task, report)
            loop.run(job.recipe.log_every, outputs.end_interval, outputs.state)
            outputs.finish()
        return PretrainResult(run / ENCODER, outputs.last)


def preview(job: PretrainJob, path: Path, *, overwrite: bool = False) -> None:
    """Write what the task shows the network in its first batch as a PNG.

    Raises
    ------
    OutputExists
        `path` is there already and `overwrite` is not set, or it is a source.
    """
    check_output(path, inputs=job.sources, overwrite=overwrite)
    single_threaded_opencv()
    with open_source(job.sources, job.tiles, job.seed) as source:
        sheet = contact_sheet(make_batches(job, source))
    title = (
        f"What {job.task} shows the network: a tile with the views cut from it, then each view as it is seen"
    )
    names = ("first view (anchor)", "second (positive)", "third (negative)")
    swatches = [Swatch(colour, name) for colour, name in zip(COLOURS, names, strict=True)]
    items: list[Item] = [*swatches] if job.task in ("triplet-rank", "triplet", "rank") else []
    write_atomic(path, png(captioned(sheet, items, title)))
