"""ResNet encoders with an explicit contract: five feature maps, their channels and reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, get_args

from torch import Tensor, nn
from torchvision.models import ResNet, resnet18, resnet34, resnet50, resnet101

from wsi_nucssl.errors import UsageError

EncoderName = Literal["resnet18", "resnet34", "resnet50", "resnet101"]
ENCODERS: Final[tuple[EncoderName, ...]] = get_args(EncoderName)
REDUCTIONS: Final = (2, 4, 8, 16, 32)

_BUILD: Final[dict[EncoderName, Callable[[], ResNet]]] = {
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
}


class Encoder(nn.Module):
    """A torchvision ResNet without its classifier (He et al., 2016).

    Parameters are named as in torchvision's state dict (`conv1`, `bn1`, `layer1` … `layer4`), so that ImageNet
    weights and weights from pretraining load without renaming.

    Attributes
    ----------
    channels : channels of the five feature maps, finest first.
    reductions : input px per feature px of each, (2, 4, 8, 16, 32).
    """

    reductions: tuple[int, ...] = REDUCTIONS

    def __init__(self, name: EncoderName) -> None:
        super().__init__()
        if name not in _BUILD:
            raise UsageError(f"unknown encoder {name!r}", remedy=f"Choose one of {', '.join(ENCODERS)}")
        self.name = name
        resnet = _BUILD[name]()
        self.conv1, self.bn1, self.relu, self.maxpool = resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool
        self.layer1, self.layer2 = resnet.layer1, resnet.layer2
        self.layer3, self.layer4 = resnet.layer3, resnet.layer4
        self.channels = (resnet.conv1.out_channels, *(_width(layer) for layer in self._layers))

    @property
    def _layers(self) -> tuple[nn.Module, ...]:
        return self.layer1, self.layer2, self.layer3, self.layer4

    def forward(self, image: Tensor) -> list[Tensor]:
        """Normalised image (N, 3, H, W), H and W multiples of 32 → five maps (N, channels[i], H / reductions[i], …)."""
        x: Tensor = self.relu(self.bn1(self.conv1(image)))
        features = [x]
        x = self.maxpool(x)
        for layer in self._layers:
            x = layer(x)
            features.append(x)
        return features


def _width(layer: nn.Module) -> int:
    """Output channels of a ResNet layer: those of its last batch norm outside the shortcut."""
    *_, block = layer.children()
    *_, norm = (module for module in block.children() if isinstance(module, nn.BatchNorm2d))
    return norm.num_features
