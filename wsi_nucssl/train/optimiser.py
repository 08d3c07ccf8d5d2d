"""How weights move: the optimiser, its learning rate over a run, and the running average of the weights.

AdamW (Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101), and a cosine without restarts (the same, 2017,
https://arxiv.org/abs/1608.03983).
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

if TYPE_CHECKING:
    from wsi_nucssl.train.recipe import Optimisation


OptimiserName = Literal["adamw", "sgd"]
_MOMENTUM = 0.9


def make_optimiser(name: OptimiserName, model: nn.Module, settings: Optimisation) -> Optimizer:
    """AdamW, or SGD with momentum 0.9; weight decay on convolutions only, neither on biases nor on batch norms."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if name == "sgd":
        return SGD(groups, lr=settings.learning_rate, momentum=_MOMENTUM)
    return AdamW(groups, lr=settings.learning_rate)


def learning_rate(settings: Optimisation, step: int, steps: int) -> float:
    """Of a step of a run of `steps`: a linear warm-up over at most a tenth of it, then a cosine to zero."""
    warmup = min(settings.warmup_steps, max(1, steps // 10))
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def running_average(model: nn.Module, decay: float) -> RunningAverage | None:
    """The weights' exponential average, to be updated after each step; None for a decay of 0."""
    return RunningAverage(model, decay) if decay else None


class RunningAverage(nn.Module):
    """A copy of a model that follows it, buffers too.

    Decays grow to `decay` as (1 + n) / (10 + n), so that the first steps are soon forgotten. The device is not waited
    for, as it is by torch's `AveragedModel`, whose state this takes.
    """

    n_averaged: Tensor

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay
        self.register_buffer("n_averaged", torch.tensor(0))  # stays on the CPU

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Follow the model by one step; the first one is taken as it is."""
        steps = int(self.n_averaged)
        fraction = 1 - min(self.decay, (1 + steps) / (10 + steps)) if steps else 1.0
        pairs = list(zip(_values(self.module), _values(model), strict=True))
        floating = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([own for own, _ in floating], [current for _, current in floating], fraction)
        counted = [pair for pair in pairs if not pair[0].is_floating_point()]
        if counted:  # batches, by batch norms
            torch._foreach_copy_([own for own, _ in counted], [current for _, current in counted])
        self.n_averaged += 1


def _values(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
