"""The encoder contract, and networks that take any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.encoders import ENCODERS, REDUCTIONS, Encoder, EncoderName
from wsi_nucssl.models.resunet import CLASSES
from wsi_nucssl.models.spec import ARCHITECTURES, build

CHANNELS = {
    "resnet18": (64, 64, 128, 256, 512),
    "resnet34": (64, 64, 128, 256, 512),
    "resnet50": (64, 256, 512, 1024, 2048),
    "resnet101": (64, 256, 512, 1024, 2048),
}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", ENCODERS)
def test_feature_maps_are_as_the_contract_says(name: EncoderName) -> None:
    encoder = Encoder(name).eval()
    assert encoder.channels == CHANNELS[name]
    with torch.inference_mode():
        features = encoder(torch.zeros(1, 3, 64, 96))
    assert [tuple(map_.shape) for map_ in features] == [
        (1, channels, 64 // reduction, 96 // reduction)
        for channels, reduction in zip(encoder.channels, REDUCTIONS, strict=True)
    ]


@pytest.mark.parametrize("name", ENCODERS)
def test_it_is_torchvisions_network_without_the_classifier(name: EncoderName) -> None:
    whole = get_model(name)
    state = {key: value for key, value in whole.state_dict().items() if not key.startswith("fc.")}
    encoder = Encoder(name)
    encoder.load_state_dict(state)
    assert count(encoder) == count(whole) - count(whole.fc)


def test_the_coarsest_map_is_torchvisions() -> None:
    whole = get_model("resnet18").eval()
    encoder = Encoder("resnet18").eval()
    encoder.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("fc.")})
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = whole(image)
        assert torch.equal(whole.fc(encoder(image)[-1].mean(dim=(2, 3))), expected)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_decoders_have_the_parameters_their_widths_ask_for(arch: str) -> None:
    numbers = ARCHITECTURES[arch]
    network = build(arch)
    *skips, channels = network.encoder.channels
    skips.append(0)  # no skip at full resolution: it comes last in the decoder's order
    expected = 0
    for skip, width in zip([*reversed(skips[:-1]), 0], numbers.widths, strict=False):
        expected += 9 * (channels + skip) * width + 9 * width * width + 4 * width
        channels = width
    head = 12 * (9 * channels + 1) if numbers.head == "subpixel" else 3 * (channels + 1)
    assert count(network.decoder) == expected + head


@pytest.mark.parametrize(("height", "width"), [(32, 32), (1, 1), (33, 64), (50, 97)])
def test_any_size_goes_in_and_comes_out(height: int, width: int) -> None:
    network = build("resunet18").eval()
    image = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    with torch.inference_mode():
        assert network(image).shape == (2, len(CLASSES), height, width)


def test_bytes_and_floats_of_the_same_value_agree() -> None:
    network = build("resunet18").eval()
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(network(image), network(image.float()))


def test_what_is_unknown_is_refused_with_what_is_known() -> None:
    with pytest.raises(UsageError, match="resunet18"):
        build("resunet152")
    with pytest.raises(UsageError, match="resnet18"):
        Encoder("vgg16")  # type: ignore[arg-type]
