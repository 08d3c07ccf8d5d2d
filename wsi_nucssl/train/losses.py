"""The segmentation loss: weighted cross-entropy, of labels and of teachers, plus soft Dice; that of types."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsi_nucssl.train.targets import UNKNOWN_TYPE


class SegmentationLoss(nn.Module):
    """Weighted cross-entropy plus `dice` × (1 − mean soft Dice of body and boundary).

    The Dice of a class is taken over the whole batch (Milletari et al., 2016, https://arxiv.org/abs/1606.04797), so
    that a crop without nuclei does not dominate. Of a network that tells types of nuclei apart, `types` × the
    cross-entropy of types over the px of nuclei whose type is known is added.

    Parameters
    ----------
    class_weights : sequence of float
        Of background, body and boundary in the cross-entropy.
    dice : float
        Weight of the Dice term.
    truncation : float
        γ of the smooth truncated cross-entropy (Zhou et al., 2019, https://arxiv.org/abs/1903.05358): where the
        probability p of the true class is below γ, −log p is replaced by −log γ + (1 − p² / γ²) / 2, so that labels
        that the network is sure are wrong pull less. 0 turns it off.
    teacher : float
        Fraction of the cross-entropy with the teachers' probabilities, where a batch holds them (Hinton et al., 2015,
        https://arxiv.org/abs/1503.02531).
    types : float
        Weight of the cross-entropy of types.
    """

    class_weights: Tensor

    def __init__(
        self,
        class_weights: Sequence[float],
        dice: float,
        truncation: float = 0.0,
        teacher: float = 0.0,
        types: float = 1.0,
    ) -> None:
        super().__init__()
        self.register_buffer("class_weights", torch.tensor(class_weights), persistent=False)
        self.dice, self.truncation, self.teacher, self.types = dice, truncation, teacher, types

    def forward(
        self, logits: Tensor, classes: Tensor, teacher: Tensor | None = None, types: Tensor | None = None
    ) -> Tensor:
        """The scalar loss.

        Logits (N, 3 + T, H, W), float; classes (N, H, W), integer; teacher (N, 2, H, W), uint8: P(body), P(boundary) in
        255ths; types (N, H, W), integer, `UNKNOWN_TYPE` where none is to be learnt.
        """
        planes = len(self.class_weights)
        loss = self._of_planes(logits[:, :planes], classes, teacher)
        return loss if types is None else loss + self.types * type_cross_entropy(logits[:, planes:], types)

    def _of_planes(self, logits: Tensor, classes: Tensor, teacher: Tensor | None) -> Tensor:
        logits = logits.float()
        loss = self._cross_entropy(logits, classes.long())
        if teacher is not None and self.teacher:
            soft = self._soft_cross_entropy(logits, _with_background(teacher))
            loss = (1 - self.teacher) * loss + self.teacher * soft
        if not self.dice:
            return loss
        return loss + self.dice * (1 - soft_dice(logits.softmax(dim=1), classes)[1:].mean())

    def _soft_cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean over px, each weighted by its classes, as that of the labels is."""
        weighted = target * self.class_weights[None, :, None, None]
        return -(weighted * logits.log_softmax(dim=1)).sum() / weighted.sum()

    def _cross_entropy(self, logits: Tensor, classes: Tensor) -> Tensor:
        if not self.truncation:
            return F.cross_entropy(logits, classes, weight=self.class_weights)
        log_p = logits.log_softmax(dim=1).gather(1, classes[:, None])[:, 0]
        flat = -math.log(self.truncation) + 0.5 * (1 - (log_p.exp() / self.truncation).square())
        losses = torch.where(log_p < math.log(self.truncation), flat, -log_p)
        weights = self.class_weights[classes]
        return (weights * losses).sum() / weights.sum()


def type_cross_entropy(logits: Tensor, types: Tensor) -> Tensor:
    """Mean over px whose type is known, 0 where there is none: logits (N, T, H, W), types (N, H, W) → scalar."""
    total = F.cross_entropy(logits.float(), types.long(), ignore_index=UNKNOWN_TYPE, reduction="sum")
    return total / (types != UNKNOWN_TYPE).sum().clamp_min(1)


def _with_background(teacher: Tensor) -> Tensor:
    """P(body), P(boundary) in 255ths (N, 2, H, W) → three probabilities (N, 3, H, W)."""
    nucleus = teacher.float() / 255
    return torch.cat([(1 - nucleus.sum(dim=1, keepdim=True)).clamp_min(0), nucleus], dim=1)


def soft_dice(probabilities: Tensor, classes: Tensor) -> Tensor:
    """Soft Dice of each class over the batch: probabilities (N, C, H, W), classes (N, H, W) → (C,)."""
    truth = F.one_hot(classes.long(), probabilities.shape[1]).movedim(-1, 1).to(probabilities.dtype)
    shared = (probabilities * truth).sum(dim=(0, 2, 3))
    total = (probabilities + truth).sum(dim=(0, 2, 3))
    return (2 * shared + 1) / (total + 1)
