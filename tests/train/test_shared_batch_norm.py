"""Batch norm over processes is that of one process which sees all batches as one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from wsi_nucssl.train.distributed import SharedBatchNorm

CHANNELS, STEPS = 3, 2


def batches(step: int) -> Tensor:
    """What all processes see at a step: (8, 3, 5, 4)."""
    generator = torch.Generator().manual_seed(step)
    return torch.randn(8, CHANNELS, 5, 4, generator=generator) * 2 + 3


def norm(kind: type[nn.BatchNorm2d]) -> nn.BatchNorm2d:
    made = kind(CHANNELS)
    with torch.no_grad():
        made.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        made.bias.copy_(torch.tensor([-1.0, 0.0, 3.0]))
    return made


def run(module: nn.BatchNorm2d, rank: int = 0, of: int = 1) -> dict[str, Tensor]:
    """What one of some processes gets, its gradients and statistics after two steps."""
    found: dict[str, Tensor] = {}
    for step in range(STEPS):
        mine = batches(step).chunk(of)[rank].clone().requires_grad_()
        answer = module(mine)
        answer.pow(3).sum().backward()
        assert mine.grad is not None
        found |= {f"answer {step}": answer.detach(), f"gradient {step}": mine.grad}
    return found | {name: value.clone() for name, value in module.named_buffers()}


def _process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save(run(norm(SharedBatchNorm), rank, 2), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone")
def test_of_one_process_it_is_torchs_own() -> None:
    found, expected = run(norm(SharedBatchNorm)), run(norm(nn.BatchNorm2d))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("momentum", [0.1, 0.3, 1.0])
def test_its_statistics_follow_with_the_momentum_of_the_norm(momentum: float) -> None:
    shared, own = norm(SharedBatchNorm), norm(nn.BatchNorm2d)
    for module in (shared, own):
        module.momentum = momentum
        for step in range(3):
            module(batches(step))
        module.eval()
    for name, value in own.named_buffers():
        torch.testing.assert_close(dict(shared.named_buffers())[name], value)
    torch.testing.assert_close(shared(batches(9)), own(batches(9)))  # by what it remembers


@pytest.mark.usefixtures("alone")
def test_without_memory_it_is_torchs_own_too() -> None:
    shared, own = (kind(CHANNELS, track_running_stats=False) for kind in (SharedBatchNorm, nn.BatchNorm2d))
    torch.testing.assert_close(shared(batches(0)), own(batches(0)))
    torch.testing.assert_close(shared.eval()(batches(1)), own.eval()(batches(1)))


@pytest.mark.usefixtures("alone")
def test_two_values_of_half_precision_have_a_variance_and_stay_what_they_are() -> None:
    """(1 and 3) − 2 = ±1 of deviation 1; their variance as a sample's, which is remembered, is 2."""
    shared = SharedBatchNorm(1, momentum=0.5)
    answer = shared(torch.tensor([1.0, 3.0], dtype=torch.bfloat16).view(2, 1, 1, 1))
    assert answer.dtype == torch.bfloat16
    assert answer.flatten().tolist() == [-1, 1]
    assert shared.running_mean is not None
    assert shared.running_var is not None
    assert (float(shared.running_mean), float(shared.running_var)) == (1.0, 1.5)
    lone = SharedBatchNorm(1, momentum=0.5)
    lone(torch.full((1, 1, 1, 1), 4.0))
    assert lone.running_var is not None
    assert float(lone.running_var) == 0.5


def test_two_processes_see_one_batch(tmp_path: Path) -> None:
    spawn(_process, (str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name, value in run(norm(nn.BatchNorm2d)).items():
        if name.startswith(("answer", "gradient")):
            torch.testing.assert_close(torch.cat([part[name] for part in parts]), value, rtol=1e-4, atol=1e-4)
        else:
            for part in parts:
                torch.testing.assert_close(part[name], value, rtol=1e-4, atol=1e-4)
