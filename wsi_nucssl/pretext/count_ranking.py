"""Count ranking loss (Xie et al., 2020, equation 2, https://arxiv.org/abs/2007.11186)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CountRankingLoss(nn.Module):
    """mean over pairs of max(0, f(z_n) − f(z_p) + margin): the positive, which holds more nuclei, must score higher.

    The paper writes a sum over pairs; the mean makes the learning rate independent of the batch size.
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def hinge(self, score_positive: Tensor, score_negative: Tensor) -> Tensor:
        """The loss of each pair, (N,), in float32."""
        return torch.relu(score_negative.float() - score_positive.float() + self.margin)

    def forward(self, score_positive: Tensor, score_negative: Tensor) -> Tensor:
        """Scores (N,) each → scalar."""
        return self.hinge(score_positive, score_negative).mean()
