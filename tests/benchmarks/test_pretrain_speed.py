"""The whole pretraining step against the network alone: how much is lost to reading tiles and cutting views."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from wsi_nucssl.pretext.batches import PretextBatches
from wsi_nucssl.pretext.sources import open_source
from wsi_nucssl.pretext.task import Metrics, Views
from wsi_nucssl.train.distributed import make_accelerator
from wsi_nucssl.train.interval import Interval
from wsi_nucssl.train.loop import Loop
from wsi_nucssl.train.pretrain_job import PretrainJob
from wsi_nucssl.train.pretrain_loop import make_batches, make_model
from wsi_nucssl.train.pretrain_recipe import PretrainRecipe

WARM, TIMED = 1, 4


class Synthetic:
    """The same task on views that are there already."""

    def __init__(self, batches: PretextBatches) -> None:
        self.task = batches.task
        self.seen: Views = batches.views(batches.batch(0))

    def batch(self, _index: int) -> dict[str, Tensor]:
        return {"images": self.seen.images}

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Metrics]:
        return self.task.loss(model(batch["images"]), self.seen.targets)


def fastest_step(job: PretrainJob, task: PretextBatches | Synthetic, state: Path) -> float:
    """Seconds; the fastest of a few, since other work on the machine only ever slows a step."""
    device = "auto" if torch.cuda.is_available() else "cpu"
    loop = Loop(
        make_model(job), task, WARM + TIMED, job.recipe.optimisation, make_accelerator(device, "bf16")
    )
    seen: list[Interval] = []
    loop.run(1, seen.append, state)
    return min(progress.seconds for progress in seen[WARM:])


@pytest.mark.benchmark
@pytest.mark.parametrize("arch", ["resnet101", "resnet18"])
def test_the_pipeline_keeps_the_network_busy(monuseg: Path, tmp_path: Path, arch: str) -> None:
    recipe = PretrainRecipe(batch_size=32 if torch.cuda.is_available() else 2)
    job = PretrainJob((monuseg / "images",), recipe, arch=arch)
    with open_source(job.sources, job.tiles) as source:
        batches = make_batches(job, source)
        network = fastest_step(job, Synthetic(batches), tmp_path / "state.pt")
        whole = fastest_step(job, batches, tmp_path / "state.pt")
    print(f"\n{arch}: network alone {network:.2f} s a step, whole step {whole:.2f} s, {network / whole:.1%}")
    print(f"{recipe.batch_size / whole:.2f} triplets/s of 768 px")
    assert network / whole > (0.9 if torch.cuda.is_available() else 0.95)
