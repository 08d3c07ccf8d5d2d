"""The segmentation loss: weighted cross-entropy plus soft Dice."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsi_nucssl.models.resunet import CLASSES


class SegmentationLoss(nn.Module):
    """Cross-entropy with class weights plus `dice` × (1 − mean soft Dice of body and boundary).

    The Dice of a class is taken over the whole batch (Milletari et al., 2016), so that a crop without nuclei does not
    dominate. Logits (N, 3, H, W), float; classes (N, H, W), integer; returns a scalar.
    """

    class_weights: Tensor

    def __init__(self, class_weights: Sequence[float], dice: float) -> None:
        super().__init__()
        self.register_buffer("class_weights", torch.tensor(class_weights), persistent=False)
        self.dice = dice

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The scalar loss."""
        logits = logits.float()
        loss = F.cross_entropy(logits, classes.long(), weight=self.class_weights)
        if not self.dice:
            return loss
        return loss + self.dice * (1 - soft_dice(logits.softmax(dim=1), classes)[1:].mean())


def soft_dice(probabilities: Tensor, classes: Tensor) -> Tensor:
    """Soft Dice of each class over the batch: probabilities (N, C, H, W), classes (N, H, W) → (C,)."""
    truth = F.one_hot(classes.long(), len(CLASSES)).movedim(-1, 1).to(probabilities.dtype)
    shared = (probabilities * truth).sum(dim=(0, 2, 3))
    total = (probabilities + truth).sum(dim=(0, 2, 3))
    return (2 * shared + 1) / (total + 1)
