"""What pretraining, decoders and weights rely on, whichever the encoder.

from wsi_nucssl.testing.encoders import EncoderTests

class TestMyEncoder(EncoderTests):
    name = "my-encoder"
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from wsi_nucssl.models.encoders import ENCODERS, build_encoder
from wsi_nucssl.models.encoders.base import Encoder
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.spec import architecture, architecture_of
from wsi_nucssl.models.tensors import load_encoder, save_encoder
from wsi_nucssl.schema import UNTYPED


class EncoderTests:
    """To be inherited.

    Attributes
    ----------
    name : str
        Of the encoder, in `ENCODERS`.
    """

    name: str

    @pytest.fixture
    def encoder(self) -> Encoder:
        """The encoder under test, in evaluation mode."""
        torch.manual_seed(0)
        return build_encoder(self.name).eval()

    def test_it_is_listed_with_a_line_of_help(self) -> None:
        """As choices and tables show it."""
        (plugin,) = (each for each in ENCODERS if each.name == self.name)
        assert plugin.help
        assert "\n" not in plugin.help

    def test_it_is_called_what_it_is_built_by(self, encoder: Encoder) -> None:
        """A weights file holds the name, and builds the encoder by it."""
        assert encoder.name == self.name

    @pytest.mark.parametrize(("height", "width"), [(64, 96), (32, 32)])
    def test_feature_maps_are_as_stated(self, encoder: Encoder, height: int, width: int) -> None:
        """Five, each of half the resolution of the one before, of the stated channels."""
        assert encoder.reductions == (2, 4, 8, 16, 32)
        with torch.inference_mode():
            maps = encoder(torch.zeros(2, 3, height, width))
        assert [tuple(each.shape) for each in maps] == [
            (2, channels, height // reduction, width // reduction)
            for channels, reduction in zip(encoder.channels, encoder.reductions, strict=True)
        ]

    def test_every_weight_learns(self, encoder: Encoder) -> None:
        """Each parameter has a gradient from one of the maps."""
        maps = encoder.train()(torch.randn(2, 3, 64, 64))
        torch.stack([each.square().mean() for each in maps]).sum().backward()  # type: ignore[no-untyped-call]
        assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in encoder.parameters())

    def test_the_picture_decides_the_maps(self, encoder: Encoder) -> None:
        """Another picture, other maps; the same, the same."""
        with torch.inference_mode():
            one, other = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 64, 64)
            for first, again, second in zip(encoder(one), encoder(one), encoder(other), strict=True):
                assert torch.equal(first, again)
                assert not torch.equal(first, second)

    def test_its_weights_go_out_and_come_in(self, encoder: Encoder, tmp_path: Path) -> None:
        """By a safetensors file, to the bit."""
        save_encoder(tmp_path / "encoder.safetensors", encoder, {})
        torch.manual_seed(1)
        other = build_encoder(self.name)
        load_encoder(other, tmp_path / "encoder.safetensors")
        assert all(torch.equal(other.state_dict()[name], v) for name, v in encoder.state_dict().items())

    def test_a_decoder_stands_on_it(self) -> None:
        """There is an architecture to fine-tune it in, and it takes any size."""
        arch = architecture_of(self.name)
        assert architecture(arch).encoder == self.name
        upscale = architecture(arch).upscale
        with torch.inference_mode():
            logits = build(arch).eval()(torch.zeros(1, 3, 40, 50, dtype=torch.uint8))
        assert logits.shape == (1, UNTYPED.channels, 40 * upscale, 50 * upscale)
