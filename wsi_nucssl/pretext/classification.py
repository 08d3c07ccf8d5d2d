"""What the classifying pretext tasks share: accuracy, and when it says nothing was learnt."""

from __future__ import annotations

from torch import Tensor


def accuracy(logits: Tensor, classes: Tensor) -> Tensor:
    """Fraction of rows whose largest logit is that of the true class: (M, K), (M,) → scalar."""
    return (logits.detach().argmax(dim=1) == classes).float().mean()


def chance_warning(fraction: float, classes: int) -> str | None:
    """A warning if an accuracy is no better than guessing among so many classes."""
    if fraction > 1.2 / classes:
        return None
    return (
        f"the accuracy, {fraction:.3f}, is no better than guessing among {classes}. "
        "Try more steps, another learning rate or a larger batch, and look at ⟨preview⟩"
    )
