"""What a pretraining run would take: a few steps of it, timed, and nothing kept."""

from __future__ import annotations

import resource
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from wsi_nucssl.locations import Location
from wsi_nucssl.pretext.sources import open_source
from wsi_nucssl.train.crops import single_threaded_opencv
from wsi_nucssl.train.distributed import make_accelerator
from wsi_nucssl.train.interval import Interval
from wsi_nucssl.train.pretrain_job import PretrainJob
from wsi_nucssl.train.pretrain_loop import make_batches, make_loop

_WARM: Final = 2
"""Steps that are not timed: the first ones allocate, choose algorithms and fill the loader."""


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a run would take, from a few steps of it.

    Attributes
    ----------
    slides, tiles : int
        Slides, stores or images with tissue, and the tiles in them.
    empty : tuple of Path
        Files in which no tile was found.
    parameters : int
        Of encoder and head.
    seconds_per_step : float
        With loading.
    loader_fraction : float
        Of that time, in which the network waits for tiles.
    peak_bytes : int
        Memory at its highest: the device's, or this process's on the CPU.
    micro_batches : int
        Into how many parts a batch must be divided to fit into memory.
    seconds : float
        For the whole run.
    """

    slides: int
    tiles: int
    empty: tuple[Location, ...]
    parameters: int
    seconds_per_step: float
    loader_fraction: float
    peak_bytes: int
    micro_batches: int
    seconds: float


def dry_run(
    job: PretrainJob, *, device: str = "auto", loader_threads: int = 1, steps: int = 3
) -> CostEstimate:
    """Take `steps` timed steps of `job` and say what the whole run would take; writes nothing that stays.

    Raises
    ------
    InputError, ResourceError, Stopped
        As `pretrain`.
    """
    accelerator = make_accelerator(device, job.recipe.precision)
    single_threaded_opencv()
    short = replace(job, recipe=job.recipe.model_copy(update={"steps": _WARM + steps}))
    seen: list[Interval] = []
    with open_source(job.sources, job.tiles, job.seed) as source, tempfile.TemporaryDirectory() as folder:
        loop = make_loop(short, make_batches(short, source), accelerator, loader_threads)
        loop.run(1, seen.append, Path(folder) / "state.pt")
    timed = seen[_WARM:]
    total = sum(interval.seconds for interval in timed)
    return CostEstimate(
        slides=len(source.groups),
        tiles=source.tiles,
        empty=source.empty,
        parameters=sum(p.numel() for p in loop.model.parameters()),
        seconds_per_step=total / steps,
        loader_fraction=sum(interval.seconds * interval.loader_fraction for interval in timed) / total,
        peak_bytes=_peak_bytes(accelerator.device),
        micro_batches=loop.micro_batches,
        seconds=total / steps * job.recipe.steps,
    )


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
