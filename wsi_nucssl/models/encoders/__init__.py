"""Encoders by name. A family is one module beside this one and one entry of `FAMILIES`."""

from __future__ import annotations

from typing import Final

from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.encoders.base import Encoder, EncoderFamily
from wsi_nucssl.models.encoders.efficientnet_lite import EFFICIENTNET_LITES
from wsi_nucssl.models.encoders.resnet import RESNETS

__all__ = ["ENCODERS", "FAMILIES", "Encoder", "EncoderFamily", "build_encoder", "encoder_family"]

FAMILIES: Final = (RESNETS, EFFICIENTNET_LITES)
ENCODERS: Final = tuple(name for family in FAMILIES for name in family.names)


def encoder_family(name: str) -> EncoderFamily:
    """The family that an encoder belongs to.

    Raises
    ------
    UsageError
        No encoder is called that.
    """
    for family in FAMILIES:
        if name in family.names:
            return family
    raise UsageError(f"unknown encoder {name!r}", remedy=f"Choose one of {', '.join(ENCODERS)}")


def build_encoder(name: str) -> Encoder:
    """A randomly initialised encoder of that name.

    Raises
    ------
    UsageError
        No encoder is called that.
    """
    return encoder_family(name).build(name)
