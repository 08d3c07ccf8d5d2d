"""The network that fine-tuning begins with, and what it has seen before."""

from __future__ import annotations

import torch

from wsi_nucssl.errors import WeightsError
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.tensors import load_encoder
from wsi_nucssl.models.weights import load_model, seen_by
from wsi_nucssl.train.finetune_job import FinetuneJob


def initial_network(job: FinetuneJob) -> ResUNet:
    """The network as it starts: a function of the seed and of what the job names.

    Raises
    ------
    WeightsError
        Weights that the job starts from cannot be read, or are of another architecture.
    """
    torch.manual_seed(job.seed)
    network = build(job.arch, job.schema)
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
        _take_over(network, model.network)
    return network


def _take_over(network: ResUNet, start: ResUNet) -> None:
    """Fill a network from another of its architecture; types that `start` does not know begin as they are."""
    state, taken = network.state_dict(), start.state_dict()
    if network.schema.types != start.schema.types:
        planes = len(start.schema.planes)
        for name, value in taken.items():
            if name.startswith("decoder.head."):  # channels of one plane lie together, the types last
                shared = len(value) * planes // start.schema.channels
                taken[name] = torch.cat([value[:shared], state[name][shared:]])
    network.load_state_dict(taken)


def seen_before(job: FinetuneJob) -> frozenset[str]:
    """SHA-256 of the images that the models which a job starts from were trained on."""
    origins = [job.start] if job.start else [] if job.encoder in ("none", "imagenet") else [job.encoder]
    return frozenset().union(*(seen_by(origin) for origin in origins))
