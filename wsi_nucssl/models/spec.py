"""What a model is, in a few numbers; `networks.build` turns them into a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.encoders import ENCODERS

OutputStage = Literal["conv", "subpixel"]
MULTIPLE: Final = 32
"""A network pads its input to a multiple of this, inside."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """The numbers behind an architecture's name.

    Attributes
    ----------
    encoder : str
        A name of `ENCODERS`.
    widths : tuple of int
        Channels after each doubling of the decoder, coarsest first.
    output_stage : {"conv", "subpixel"}
        How the last map becomes logits, see `Decoder`.
    upscale : int
        Output px per input px along each axis: a network of 2 answers at half the mpp that it sees.
    """

    encoder: str
    widths: tuple[int, ...]
    output_stage: OutputStage
    upscale: int = 1


ARCHITECTURES: Final[dict[str, Architecture]] = {
    "resunet101": Architecture("resnet101", (256, 128, 64, 32, 16), "conv"),
    "resunet50": Architecture("resnet50", (256, 128, 64, 32, 16), "conv"),
    "resunet34": Architecture("resnet34", (256, 128, 64, 32, 16), "conv"),
    "resunet18": Architecture("resnet18", (128, 96, 64, 48), "subpixel"),
    "liteunet0": Architecture("efficientnet-lite0", (128, 96, 64, 48), "subpixel"),
    "liteunet0x2": Architecture("efficientnet-lite0", (128, 96, 64, 48), "subpixel", upscale=2),
    "liteunet1x2": Architecture("efficientnet-lite1", (128, 96, 64, 48), "subpixel", upscale=2),
    "liteunet2x2": Architecture("efficientnet-lite2", (128, 96, 64, 48), "subpixel", upscale=2),
    "liteunet0x2deep": Architecture("efficientnet-lite0", (128, 96, 64, 48, 32), "subpixel", upscale=2),
    "resunet18x2": Architecture("resnet18", (128, 96, 64, 48), "subpixel", upscale=2),
}

_COMPACT: Final = (128, 96, 64, 48)
"""Widths of the decoder under an encoder that no architecture above names, such as one from outside."""

DEFAULT_ARCHITECTURE: Final = "liteunet0x2"


def architecture_of(encoder: str) -> str:
    """The architecture to fine-tune an encoder in: the default if it is its, else the first that has it.

    An encoder that none has is an architecture by its own name, see `architecture`.

    Raises
    ------
    UsageError
        No encoder is called that.
    """
    for name in (DEFAULT_ARCHITECTURE, *ARCHITECTURES):
        if ARCHITECTURES[name].encoder == encoder:
            return name
    ENCODERS.get(encoder)
    return encoder


def architecture(name: str) -> Architecture:
    """The numbers of that architecture; the name of an encoder stands for that encoder under a compact decoder.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    if not is_architecture(name):
        raise UsageError(f"unknown architecture {name!r}", remedy=f"Choose one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES.get(name) or Architecture(name, _COMPACT, "subpixel")


def is_architecture(name: str) -> bool:
    """Whether an architecture or an encoder, ours or from outside, is called that."""
    return name in ARCHITECTURES or name in ENCODERS
