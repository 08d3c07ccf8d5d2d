"""Linear read-outs of frozen features: what is in them that a linear map can find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

_PENALTY: Final = 1e-3
_ITERATIONS: Final = 60


@dataclass(frozen=True, slots=True)
class LinearMap:
    """Standardise by the training features, then multiply and add."""

    mean: Tensor
    std: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """(N, D) → (N, K)."""
        return ((features - self.mean) / self.std) @ self.weight + self.bias


def fit_classifier(features: Tensor, classes: Tensor, count: int) -> LinearMap:
    """Multinomial logistic regression, each class weighing the same: (N, D), (N,) → logits of `count` classes."""
    mean, std = _scale(features)
    x = (features - mean) / std
    weights = len(classes) / (count * torch.bincount(classes, minlength=count).clamp_min(1))
    weight = torch.zeros(x.shape[1], count, requires_grad=True)
    bias = torch.zeros(count, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(x @ weight + bias, classes, weights) + _PENALTY * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return LinearMap(mean, std, weight.detach(), bias.detach())


def fit_ridge(features: Tensor, values: Tensor, penalty: float = 1.0) -> LinearMap:
    """Ridge regression: (N, D), (N,) → (N, 1). Solved in the smaller of the two spaces."""
    mean, std = _scale(features)
    x, bias = ((features - mean) / std).double(), values.double().mean()
    y = values.double() - bias
    rows, cols = x.shape
    strength = penalty * rows
    if cols <= rows:
        weight = torch.linalg.solve(x.T @ x + strength * torch.eye(cols, dtype=x.dtype), x.T @ y)
    else:
        weight = x.T @ torch.linalg.solve(x @ x.T + strength * torch.eye(rows, dtype=x.dtype), y)
    return LinearMap(mean, std, weight.float().unsqueeze(1), bias.float().unsqueeze(0))


def _scale(features: Tensor) -> tuple[Tensor, Tensor]:
    return features.mean(dim=0), features.std(dim=0) + 1e-6
