"""Encoders by name.

Reading names and help imports no torch. A family is one module beside this one and one line here, or entry points of
the group `wsi_nucssl.encoders` in a package from outside, one for each of its members (docs/extending.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsi_nucssl.registry import Plugin, Registry

if TYPE_CHECKING:
    from wsi_nucssl.models.encoders.base import Encoder, EncoderFamily

__all__ = ["ENCODERS", "build_encoder", "encoder_family"]


def _members(family: str, text: str, *names: str) -> tuple[Plugin, ...]:
    return tuple(Plugin(name, f"{__name__}.{family}", text) for name in names)


_RESNETS: Final = ("resnet18", "resnet34", "resnet50", "resnet101")
_LITES: Final = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")

ENCODERS: Final[Registry[EncoderFamily]] = Registry(
    "encoder",
    "wsi_nucssl.encoders",
    *_members("resnet:RESNETS", "torchvision's ResNet; ImageNet weights are downloaded", *_RESNETS),
    *_members(
        "efficientnet_lite:EFFICIENTNET_LITES", "small and fast; ImageNet weights by [imagenet]", *_LITES
    ),
)
"""The family of each encoder, by the encoder's name."""


def encoder_family(name: str) -> EncoderFamily:
    """The family that an encoder belongs to.

    Raises
    ------
    UsageError
        No encoder is called that.
    """
    return ENCODERS.get(name)


def build_encoder(name: str) -> Encoder:
    """A randomly initialised encoder of that name.

    Raises
    ------
    UsageError
        No encoder is called that.
    """
    return ENCODERS.get(name).build(name)
