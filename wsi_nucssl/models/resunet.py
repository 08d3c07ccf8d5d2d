"""ResUNet: a ResNet encoder, a U-Net decoder, three classes a pixel (Xie et al., 2020, §2.2; Cui et al., 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsi_nucssl.models.encoders import Encoder

Head = Literal["conv", "subpixel"]
CLASSES: Final = ("background", "body", "boundary")
MULTIPLE: Final = 32
"""The network pads its input to a multiple of this, inside."""

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


class ConvBlock(nn.Sequential):
    """Two times 3 × 3 convolution, batch norm, ReLU; (N, in, h, w) → (N, out, h, w)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        layers: list[nn.Module] = []
        for channels in (channels_in, channels_out):
            layers += [
                nn.Conv2d(channels, channels_out, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels_out),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class Up(nn.Module):
    """Double the resolution, join the encoder's map of that resolution, mix."""

    def __init__(self, channels_in: int, channels_skip: int, channels_out: int) -> None:
        super().__init__()
        self.mix = ConvBlock(channels_in + channels_skip, channels_out)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """(N, in, h, w) and (N, skip, 2h, 2w) → (N, out, 2h, 2w)."""
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        joined: Tensor = self.mix(x if skip is None else torch.cat([x, skip], dim=1))
        return joined


class Decoder(nn.Module):
    """From the coarsest feature map to logits at full resolution.

    `widths` are the channels after each doubling, coarsest first. With the "conv" head the fifth width is that of the
    full-resolution stage; with "subpixel" there are four, and the half-resolution map gives four pixels of logits at
    once (Shi et al., 2016), which spares the full-resolution convolutions that dominate the cost of small networks.
    """

    def __init__(self, encoder_channels: Sequence[int], widths: Sequence[int], head: Head) -> None:
        super().__init__()
        *skips, channels = encoder_channels
        self.ups = nn.ModuleList()
        for skip, width in zip(reversed(skips), widths, strict=False):
            self.ups.append(Up(channels, skip, width))
            channels = width
        if head == "conv":
            self.ups.append(Up(channels, 0, widths[len(skips)]))
            self.head = nn.Sequential(nn.Conv2d(widths[len(skips)], len(CLASSES), 1))
        else:
            self.head = nn.Sequential(
                nn.Conv2d(channels, 4 * len(CLASSES), 3, padding=1), nn.PixelShuffle(upscale_factor=2)
            )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Five maps, finest first → logits (N, 3, H, W)."""
        *skips, x = features
        for up in self.ups:
            x = up(x, skips.pop() if skips else None)
        logits: Tensor = self.head(x)
        return logits


class ResUNet(nn.Module):
    """RGB in, three-class logits out, at any size.

    Attributes
    ----------
    encoder : what pretraining learns and `load_encoder` fills.
    mean, std : buffers, the normalisation of RGB in 0 … 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: Encoder, widths: Sequence[int], head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = Decoder(encoder.channels, widths, head)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=True)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=True)

    def forward(self, image: Tensor) -> Tensor:
        """RGB (N, 3, H, W), uint8 or float in 0 … 255 → logits (N, 3, H, W): background, body, boundary."""
        height, width = image.shape[-2:]
        x = (image.to(self.mean.dtype) / 255 - self.mean) / self.std
        pad = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        if any(pad):
            x = F.pad(x, pad, mode="replicate")
        logits: Tensor = self.decoder(self.encoder(x))
        return logits[..., :height, :width]
