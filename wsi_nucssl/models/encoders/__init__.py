"""Encoders by name.

Reading names and help imports no torch. A family is one module beside this one and a line here for each of its
members, or entry points of the group `wsi_nucssl.encoders` in a package from outside (docs/extending.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsi_nucssl.registry import Plugin, Registry

if TYPE_CHECKING:
    from wsi_nucssl.models.encoders.base import Encoder, EncoderFamily

__all__ = ["ENCODERS", "build_encoder"]

_RESNETS: Final = "wsi_nucssl.models.encoders.resnet:RESNETS"
_LITES: Final = "wsi_nucssl.models.encoders.efficientnet_lite:EFFICIENTNET_LITES"

ENCODERS: Final[Registry[EncoderFamily]] = Registry(
    "encoder",
    "wsi_nucssl.encoders",
    Plugin("resnet18", _RESNETS, "11.2 million parameters"),
    Plugin("resnet34", _RESNETS, "21.3 million parameters"),
    Plugin("resnet50", _RESNETS, "23.5 million parameters"),
    Plugin("resnet101", _RESNETS, "42.5 million parameters, the paper's"),
    Plugin("efficientnet-lite0", _LITES, "3.0 million parameters, fast on CPUs"),
    Plugin("efficientnet-lite1", _LITES, "3.7 million parameters, fast on CPUs"),
    Plugin("efficientnet-lite2", _LITES, "4.4 million parameters, fast on CPUs"),
)
"""The family of each encoder, by the encoder's name."""


def build_encoder(name: str) -> Encoder:
    """A randomly initialised encoder of that name.

    Raises
    ------
    UsageError
        No encoder is called that.
    """
    return ENCODERS.get(name).build(name)
