"""Several processes train as one: one run directory, one set of batch statistics, one log."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

import torch
import torch.distributed as dist
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from wsi_nucssl.errors import UsageError
from wsi_nucssl.locations import Location
from wsi_nucssl.runs import Manifest, place_of_work, run_directory

Precision = Literal["bf16", "fp32"]

_PATIENCE: Final = timedelta(hours=12)
"""The first process validates and calibrates alone; the others wait so long before they give it up."""


def make_accelerator(device: str, precision: Precision) -> Accelerator:
    """The device and processes to train on; `torchrun` starts several processes.

    Parameters
    ----------
    device : str
        "auto" takes CUDA where there is one; "cpu" does not.

    Raises
    ------
    UsageError
        Any other device.
    """
    if device not in ("auto", "cpu"):
        raise UsageError(f"cannot train on {device!r}", remedy="Give auto (CUDA where there is one) or cpu")
    if not dist.is_initialized():
        # What an earlier training left in this process would settle the precision and the device of this one.
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(
        cpu=device == "cpu",
        mixed_precision="bf16" if precision == "bf16" else "no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
    )


@contextlib.contextmanager
def shared_run_directory(
    accelerator: Accelerator,
    path: Path,
    manifest: Manifest,
    *,
    resume: bool,
    overwrite: bool,
    inputs: Iterable[Location] = (),
    keep: str = "",
    break_lock: bool = False,
) -> Iterator[Path]:
    """As `run_directory`; the first process holds it for all: the others begin once it does, and end before it."""
    if not accelerator.is_main_process:
        accelerator.wait_for_everyone()
        yield place_of_work(path)
        accelerator.wait_for_everyone()
        return
    with run_directory(
        path,
        manifest,
        resume=resume,
        overwrite=overwrite,
        inputs=inputs,
        keep=keep,
        break_lock=break_lock,
    ) as place:
        accelerator.wait_for_everyone()
        yield place
        accelerator.wait_for_everyone()


def mean_over_processes(values: Mapping[str, Tensor], accelerator: Accelerator) -> Mapping[str, Tensor]:
    """Scalars averaged over the processes; every process must call it with the same names."""
    if accelerator.num_processes == 1 or not values:
        return values
    stacked = accelerator.reduce(torch.stack([value.float() for value in values.values()]), reduction="mean")
    return dict(zip(values, stacked.unbind(), strict=True))


def share_batch_statistics(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Batch norms that see the batches of all processes as one; the model itself where there is one process."""
    if accelerator.num_processes == 1:
        return model
    if accelerator.device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
    return model


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over all processes, for devices on which torch has none. Every process has the same batch size."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(input)
        x = input.float()
        mean = _average(x.mean(dim=(0, 2, 3)))
        centred = x - mean.view(1, -1, 1, 1)
        variance = _average(centred.square().mean(dim=(0, 2, 3)))
        self._remember(mean.detach(), variance.detach(), x.numel() // x.shape[1])
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, values: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        count = values * dist.get_world_size()
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum or 0.1)
        self.running_var.lerp_(variance * count / max(1, count - 1), self.momentum or 0.1)


def _average(value: Tensor) -> Tensor:
    """Mean over the processes; gradients flow back to all of them."""
    total: Tensor = _SumOverProcesses.apply(value)
    return total / dist.get_world_size()


class _SumOverProcesses(torch.autograd.Function):
    """The sum, and backwards the sum of the gradients: each process's value is part of each process's sum."""

    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total
