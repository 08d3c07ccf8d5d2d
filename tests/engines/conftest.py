"""Networks to run, and one with a quantised graph beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.train.tiny import write_dataset
from wsi_nucssl.benchmark.quantise import quantise_on
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.engines.int8 import quantised_path
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.models.weights import Model, load_model
from wsi_nucssl.testing.engines import make_windows


def taught(arch: str) -> ResUNet:
    """A network that has seen for a moment that dark discs are bodies: it is sure of itself, as trained ones are."""
    torch.manual_seed(0)
    network = build(arch).train()
    images = torch.from_numpy(make_windows(4, 64, 64)).permute(0, 3, 1, 2).float()
    dark = (images[:, 0] < 150).long()
    classes = dark.repeat_interleave(network.upscale, 1).repeat_interleave(network.upscale, 2)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(50):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(images), classes).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network.eval()


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session", params=["liteunet0x2", pytest.param("resunet18", marks=pytest.mark.slow)])
def model(request: pytest.FixtureRequest, models_folder: Path) -> Model:
    """A network that answers at the mpp that it sees, and one that answers more finely, each in a folder of its own."""
    arch = request.param
    path = models_folder / arch / "copy.safetensors"
    if not path.exists():
        bundled = load_model(DEFAULT_MODEL)
        save_model(path, taught(arch), replace(bundled.info, arch=arch))
    return load_model(path)


@pytest.fixture(scope="session")
def with_graph(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The same, once a quantised graph lies beside the weights."""
    pytest.importorskip("nncf", reason="needs wsi-nucssl[int8]", exc_type=ImportError)
    if not quantised_path(model.path).exists():
        quantise_on(model, open_dataset(write_dataset(tmp_path_factory.mktemp("data"), 2)))
    return model
