"""What an encoder is, and what a family of encoders is: the contract of every module beside this one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


class Encoder(nn.Module, ABC):
    """RGB → five feature maps, each of half the resolution of the one before.

    Attributes
    ----------
    name : str
        As in `ENCODERS`; an encoder sets it to the name that it is built by.
    channels : tuple of int
        Channels of the five feature maps, finest first.
    reductions : tuple of int
        Input px per feature px of each, such as (2, 4, 8, 16, 32).
    mean, std : tuple of float
        The normalisation of RGB in 0 … 1 that its ImageNet weights were trained with.
    """

    name: str
    channels: tuple[int, ...]
    reductions: tuple[int, ...] = (2, 4, 8, 16, 32)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @abstractmethod
    def forward(self, image: Tensor) -> list[Tensor]:
        """Normalised image (N, 3, H, W), H and W multiples of 32 → five maps (N, channels[i], H / reductions[i], …)."""


@dataclass(frozen=True, slots=True)
class EncoderFamily:
    """Encoders of one kind: a module defines one, and `ENCODERS` lists its members.

    Attributes
    ----------
    build : callable
        Name → a randomly initialised encoder.
    imagenet : callable
        Name → its ImageNet weights as a state dict of `build(name)`; raises `WeightsError` where they cannot be had.
    """

    build: Callable[[str], Encoder]
    imagenet: Callable[[str], dict[str, Tensor]]
