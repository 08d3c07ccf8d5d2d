"""From a pretraining job and its tiles to the loop that trains."""

from __future__ import annotations

import torch
from accelerate import Accelerator

from wsi_nucssl.models.encoders import build_encoder
from wsi_nucssl.pretext.batches import PretextBatches
from wsi_nucssl.pretext.model import PretextModel
from wsi_nucssl.pretext.sources import TileSource
from wsi_nucssl.pretext.tasks import build_task
from wsi_nucssl.train.loop import Loop
from wsi_nucssl.train.pretrain_job import PretrainJob


def make_batches(job: PretrainJob, source: TileSource) -> PretextBatches:
    """The job's task on its tiles."""
    recipe = job.recipe
    task = build_task(job.task, recipe.views)
    return PretextBatches(source, task, recipe.batch_size, job.seed, recipe.decorrelation)


def make_model(job: PretrainJob) -> PretextModel:
    """The encoder with the task's head as they start: a function of the seed."""
    torch.manual_seed(job.seed)
    encoder = build_encoder(job.arch)
    return PretextModel(encoder, build_task(job.task, job.recipe.views).head(encoder.channels))


def make_loop(
    job: PretrainJob, batches: PretextBatches, accelerator: Accelerator, loader_threads: int
) -> Loop:
    """The training loop of a job, at its first step."""
    recipe, model = job.recipe, make_model(job)
    return Loop(
        model, batches, recipe.steps, recipe.optimisation, accelerator, loader_threads, recipe.optimiser
    )
