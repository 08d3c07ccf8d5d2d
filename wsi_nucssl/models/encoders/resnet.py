"""ResNets as in torchvision (He et al., 2016, https://arxiv.org/abs/1512.03385)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from wsi_nucssl.errors import WeightsError
from wsi_nucssl.models.encoders.base import Encoder, EncoderFamily


class ResNetEncoder(Encoder):
    """A torchvision ResNet without its classifier.

    Parameters are named as in torchvision's state dict (`conv1`, `bn1`, `layer1` … `layer4`), so that ImageNet
    weights and weights from pretraining load without renaming.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        resnet = get_model(name)
        self.conv1, self.bn1, self.relu, self.maxpool = resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool
        self.layer1, self.layer2 = resnet.layer1, resnet.layer2
        self.layer3, self.layer4 = resnet.layer3, resnet.layer4
        self.channels = (resnet.conv1.out_channels, *(_width(layer) for layer in self._layers))

    @property
    def _layers(self) -> tuple[nn.Module, ...]:
        return self.layer1, self.layer2, self.layer3, self.layer4

    def forward(self, image: Tensor) -> list[Tensor]:
        """See `Encoder.forward`."""
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


def _imagenet(name: str) -> dict[str, Tensor]:
    """torchvision's default ImageNet weights, without the classifier."""
    weights = get_model_weights(name).DEFAULT
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False)
    except OSError as error:
        raise WeightsError(
            f"torchvision's ImageNet weights for {name} cannot be fetched ({error})",
            remedy=f"Put {Path(weights.url).name} into torch's hub cache, or take an encoder whose weights come "
            "with a package, such as efficientnet-lite0",
        ) from error
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


RESNETS: Final = EncoderFamily(build=ResNetEncoder, imagenet=_imagenet)
