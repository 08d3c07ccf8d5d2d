"""Engines give a plane for each type, as the network has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.engines.tta import Augmented
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.models.weights import Model, load_model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.schema import typed

SCHEMA = typed(["a", "b", "c"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("model") / "typed.safetensors"
    info = ModelInfo("typed", "liteunet0x2", 0.25, InstanceConfig(), SCHEMA)
    save_model(path, build("liteunet0x2", SCHEMA), info)
    return load_model(path)


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)


@torch.inference_mode()
def _by_formula(model: Model, windows: np.ndarray) -> np.ndarray:
    """Each group of channels is a softmax of its own, without the background."""
    logits = model.network(torch.from_numpy(windows).permute(0, 3, 1, 2)).double().numpy()
    powers = np.exp(logits)
    planes = powers[:, :3] / powers[:, :3].sum(axis=1, keepdims=True)
    types = powers[:, 3:] / powers[:, 3:].sum(axis=1, keepdims=True)
    return 255 * np.concatenate([planes[:, 1:], types], axis=1)


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_planes_are_those_of_the_network(model: Model, windows: np.ndarray, name: str) -> None:
    engine = open_engine(model, "cpu", name)
    predicted = engine.predict(windows)
    assert predicted.shape == (2, 5, 128, 192)
    tolerance = 1 if "-fp32-" in engine.name else 8
    assert np.abs(predicted - _by_formula(model, windows)).max() <= tolerance
    assert np.abs(predicted[:, 2:].sum(axis=1, dtype=int) - 255).max() <= 2


def test_views_are_averaged_in_every_plane(model: Model, windows: np.ndarray) -> None:
    engine = open_engine(model, "cpu", "torch")
    plain, flipped = engine.predict(windows), engine.predict(np.ascontiguousarray(windows[:, :, ::-1]))
    both = Augmented(engine, 2).predict(windows)
    assert both.dtype == np.uint8
    assert np.array_equal(both, (plain.astype(int) + flipped[..., ::-1] + 1) // 2)


@pytest.mark.slow
def test_a_typed_model_is_quantised_like_any(model: Model, windows: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    from wsi_nucssl.engines.quantisation import quantise

    path = tmp_path / "typed.safetensors"
    save_model(path, model.network, model.info)
    copy = load_model(path)
    quantise(copy, [windows[0]], {})
    predicted = open_engine(copy, "cpu", "int8").predict(windows)
    assert predicted.shape == (2, 5, 128, 192)
    assert np.abs(predicted - _by_formula(model, windows)).mean() < 20
