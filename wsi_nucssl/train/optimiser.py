"""How weights move: the optimiser, its learning rate over a run, and the running average of the weights."""

from __future__ import annotations

import math
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from wsi_nucssl.train.recipe import Optimisation

TensorList = tuple[Tensor, ...] | list[Tensor]
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


def running_average(model: nn.Module, decay: float) -> AveragedModel | None:
    """The weights' exponential average, to be updated after each step; None for a decay of 0.

    Decays grow to `decay` as (1 + n) / (10 + n), so that the first steps are soon forgotten.
    """
    if not decay:
        return None

    def average(averaged: TensorList, current: TensorList, count: Tensor | int) -> None:
        steps = int(count)
        update = get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))  # type: ignore[no-untyped-call]
        update(averaged, current, count)

    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)
