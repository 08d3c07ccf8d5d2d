"""An encoder with the head of a pretext task."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wsi_nucssl.models.encoders.base import IMAGENET_MEAN, IMAGENET_STD, Encoder
from wsi_nucssl.pretext.redundancy import redundancy
from wsi_nucssl.pretext.task import Outputs


class PretextModel(nn.Module):
    """What pretraining trains. The encoder is what it is for; the head stays behind.

    Attributes
    ----------
    mean, std : Tensor
        Buffers, the same normalisation as in `ResUNet`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.register_buffer("mean", torch.tensor(encoder.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(encoder.std).view(1, 3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> list[Tensor]:
        """RGB (M, 3, H, W) in 0 … 255 → the encoder's five feature maps."""
        x = (images.to(self.mean.dtype) / 255 - self.mean) / self.std
        maps: list[Tensor] = self.encoder(x.contiguous(memory_format=torch.channels_last))
        return maps

    def forward(self, images: Tensor) -> Outputs:
        """RGB (M, 3, H, W) in 0 … 255 → the head's outputs; and "redundancy" (5,), that of each feature map."""
        features = self.features(images)
        outputs: Outputs = self.head(features)
        return {**outputs, "redundancy": torch.stack([redundancy(each) for each in features])}


def normalised_each(images: Tensor) -> Tensor:
    """Images (M, 3, H, W) such that each, as the encoder sees it, has mean 0 and deviation 1 in every channel."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=images.device).view(1, 3, 1, 1)
    centred = images - images.mean(dim=(2, 3), keepdim=True)
    own = centred / (images.std(dim=(2, 3), keepdim=True) + 1.0)
    return 255 * (own * std + mean)
