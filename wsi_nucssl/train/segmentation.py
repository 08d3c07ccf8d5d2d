"""Crops and the segmentation loss, as a task of the training loop."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from wsi_nucssl.train.crops import Crops
from wsi_nucssl.train.losses import SegmentationLoss
from wsi_nucssl.train.streams import Batch


class Segmentation:
    """What fine-tuning minimises, a `Task`."""

    def __init__(self, crops: Crops, loss: SegmentationLoss) -> None:
        self.crops, self.criterion = crops, loss

    def batch(self, index: int) -> Batch:
        """See `Crops.batch`."""
        return self.crops.batch(index)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The segmentation loss; nothing is logged beside it."""
        image = batch["image"].float().contiguous(memory_format=torch.channels_last)
        return self.criterion(model(image), batch["classes"], batch.get("teacher"), batch.get("types")), {}
