"""What a model is, in a few numbers; and the one builder that turns them into a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.encoders import Encoder, EncoderName
from wsi_nucssl.models.resunet import Head, ResUNet


@dataclass(frozen=True, slots=True)
class Architecture:
    """The numbers behind an architecture's name."""

    encoder: EncoderName
    widths: tuple[int, ...]
    head: Head


ARCHITECTURES: Final[dict[str, Architecture]] = {
    "resunet101": Architecture("resnet101", (256, 128, 64, 32, 16), "conv"),
    "resunet50": Architecture("resnet50", (256, 128, 64, 32, 16), "conv"),
    "resunet34": Architecture("resnet34", (256, 128, 64, 32, 16), "conv"),
    "resunet18": Architecture("resnet18", (128, 96, 64, 48), "subpixel"),
}


def architecture(name: str) -> Architecture:
    """The numbers of that architecture.

    Raises
    ------
    UsageError : there is none of that name.
    """
    if name not in ARCHITECTURES:
        raise UsageError(f"unknown architecture {name!r}", remedy=f"Choose one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build(arch: str) -> ResUNet:
    """A randomly initialised ResUNet of that name (Kaiming for the encoder, as torchvision does)."""
    numbers = architecture(arch)
    return ResUNet(Encoder(numbers.encoder), numbers.widths, numbers.head)
