"""Scale-wise triplet loss (Xie et al., 2020, equation 1, https://arxiv.org/abs/2007.11186)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class TripletDistances:
    """Squared L2 distances of each triplet, (N,): anchor to positive and anchor to negative."""

    ap: Tensor
    an: Tensor


def distances(anchor: Tensor, positive: Tensor, negative: Tensor) -> TripletDistances:
    """Squared L2 distances between embeddings (N, D), in float32."""
    anchor, positive, negative = anchor.float(), positive.float(), negative.float()
    return TripletDistances((anchor - positive).square().sum(dim=1), (anchor - negative).square().sum(dim=1))


class ScaleTripletLoss(nn.Module):
    """mean over triplets of max(0, d(z_a, z_p) − d(z_a, z_n) + margin), d the squared L2 distance.

    The paper writes a sum over triplets; the mean makes the learning rate independent of the batch size.
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def hinge(self, d: TripletDistances) -> Tensor:
        """The loss of each triplet, (N,)."""
        return torch.relu(d.ap - d.an + self.margin)

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Embeddings (N, D) each → scalar."""
        return self.hinge(distances(anchor, positive, negative)).mean()
