"""ResUNet: an encoder, a U-Net decoder, three classes a pixel, and types.

Xie et al., 2020, §2.2 (https://arxiv.org/abs/2007.11186), after Ronneberger et al., 2015 (https://arxiv.org/abs/1505.04597)
and the three classes of Cui et al., 2019 (https://arxiv.org/abs/1803.02786).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsi_nucssl.models.encoders.base import Encoder
from wsi_nucssl.models.spec import MULTIPLE, OutputStage
from wsi_nucssl.schema import OutputSchema


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
    """From the coarsest feature map to logits.

    Parameters
    ----------
    encoder : Encoder
        Whose feature maps come in.
    widths : sequence of int
        Channels after each doubling, coarsest first: one fewer than there are feature maps, or as many, in which case
        the last doubling joins no feature map.
    output_stage : {"conv", "subpixel"}
        "conv" is a 1 × 1 convolution at the resolution that the doublings reached. "subpixel" gives all logits that lie
        under a px of the last map at once (Shi et al., 2016, https://arxiv.org/abs/1609.05158), which spares the
        convolutions at full resolution that dominate the cost of small networks.
    upscale : int
        Output px per input px.
    outputs : int
        Channels of the logits.
    """

    def __init__(
        self, encoder: Encoder, widths: Sequence[int], output_stage: OutputStage, upscale: int, outputs: int
    ) -> None:
        super().__init__()
        *skips, channels = encoder.channels
        joined = [*reversed(skips), 0][: len(widths)]
        self.ups = nn.ModuleList()
        for skip, width in zip(joined, widths, strict=True):
            self.ups.append(Up(channels, skip, width))
            channels = width
        factor = encoder.reductions[-1] * upscale // 2 ** len(widths)
        if output_stage == "conv":
            assert factor == 1, "a convolution answers at the resolution that it sees"
            self.head = nn.Sequential(nn.Conv2d(channels, outputs, 1))
        else:
            self.head = nn.Sequential(
                nn.Conv2d(channels, factor * factor * outputs, 3, padding=1), nn.PixelShuffle(factor)
            )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Five maps, finest first → logits (N, outputs, upscale · H, upscale · W)."""
        *skips, x = features
        for up in self.ups:
            x = up(x, skips.pop() if skips else None)
        logits: Tensor = self.head(x)
        return logits


class ResUNet(nn.Module):
    """RGB in, logits of classes and types out, at any size.

    Attributes
    ----------
    encoder : Encoder
        What pretraining learns and `load_encoder` fills.
    upscale : int
        Output px per input px along each axis.
    schema : OutputSchema
        What the channels of the logits are.
    mean, std : Tensor
        Buffers, the normalisation of RGB in 0 … 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: Encoder,
        widths: Sequence[int],
        output_stage: OutputStage,
        *,
        upscale: int = 1,
        schema: OutputSchema,
    ) -> None:
        super().__init__()
        self.encoder, self.upscale, self.schema = encoder, upscale, schema
        self.decoder = Decoder(encoder, widths, output_stage, upscale, schema.channels)
        self.register_buffer("mean", torch.tensor(encoder.mean).view(1, 3, 1, 1), persistent=True)
        self.register_buffer("std", torch.tensor(encoder.std).view(1, 3, 1, 1), persistent=True)

    def forward(self, image: Tensor) -> Tensor:
        """RGB to logits of the schema's planes, then of its types.

        (N, 3, H, W), uint8 or float in 0 … 255 → (N, `schema.channels`, upscale · H, upscale · W).
        """
        height, width = image.shape[-2:]
        x = (image.to(self.mean.dtype) / 255 - self.mean) / self.std
        pad = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        if any(pad):
            x = F.pad(x, pad, mode="replicate")
        logits: Tensor = self.decoder(self.encoder(x))
        return logits[..., : height * self.upscale, : width * self.upscale]
