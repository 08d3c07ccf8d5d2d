"""The one builder of networks."""

from __future__ import annotations

from wsi_nucssl.models.encoders import build_encoder
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.spec import architecture


def build(arch: str) -> ResUNet:
    """A randomly initialised network of that architecture's name.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    numbers = architecture(arch)
    return ResUNet(
        build_encoder(numbers.encoder), numbers.widths, numbers.output_stage, upscale=numbers.upscale
    )
