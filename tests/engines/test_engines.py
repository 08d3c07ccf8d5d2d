"""What every engine keeps, and the probabilities of the plain network."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from wsi_nucssl.engines.base import Engine, Windows
from wsi_nucssl.engines.int8 import open_int8, read_quantised
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.engines.openvino_engine import open_openvino
from wsi_nucssl.engines.registry import OpenEngine
from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.weights import Model, load_model
from wsi_nucssl.testing.engines import EngineTests, make_windows

TOLERANCE: dict[str, float] = {"torch": 0.6, "openvino": 0.6, "int8": 2.5}
"""Mean difference from float32, in 255ths."""


@pytest.fixture(scope="module", params=TOLERANCE)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def engine(kind: str, model: Model, request: pytest.FixtureRequest) -> Engine:
    return open_engine(request.getfixturevalue("with_graph") if kind == "int8" else model, "cpu", kind)


@pytest.fixture(scope="module")
def windows() -> Windows:
    return make_windows()


class TestOurs(EngineTests):
    @pytest.fixture
    def engine(self, engine: Engine) -> Engine:
        return engine


class TestAugmented(EngineTests):
    @pytest.fixture
    def engine(self) -> Engine:
        return open_engine(load_model(DEFAULT_MODEL), "cpu", views=4)


def in_float32(network: ResUNet, windows: Windows) -> NDArray[np.float32]:
    """P(body) and P(boundary) in 255ths, not rounded, by the network itself."""
    with torch.inference_mode():
        logits = network(torch.from_numpy(windows).permute(0, 3, 1, 2).float())
        probabilities: NDArray[np.float32] = (255 * logits.softmax(dim=1)[:, 1:]).numpy()
    return probabilities


def test_probabilities_are_those_of_the_network(
    engine: Engine, kind: str, model: Model, windows: Windows
) -> None:
    predicted = engine.predict(windows)
    upscale = model.network.upscale
    assert engine.upscale == upscale
    expected = in_float32(model.network, windows)
    assert expected.std() > 40  # nuclei and ground, so that agreement means something
    assert np.abs(predicted - expected).mean() < TOLERANCE[kind]


def test_a_name_tells_the_precision(engine: Engine, kind: str, model: Model) -> None:
    assert engine.name.startswith("torch" if kind == "torch" else "openvino")
    assert re.search(r"-(bf16|fp32)-\w+$", engine.name)  # precision and kernels
    assert ("int8" in engine.name) == (kind == "int8")
    if kind == "int8":
        assert read_quantised(model)[0].digest[:8] in engine.name


def test_views_are_asked_for_when_an_engine_is_opened() -> None:
    model = load_model(DEFAULT_MODEL)
    plain = open_engine(model, "cpu").name
    assert open_engine(model, "cpu", views=1).name == plain
    assert open_engine(model, "cpu", views=4).name == f"{plain}-4-views"
    with pytest.raises(UsageError, match="1, 2, 4 or 8 views, not 3"):
        open_engine(model, "cpu", views=3)


def test_what_is_not_there_is_refused_with_the_choices() -> None:
    model = load_model(DEFAULT_MODEL)
    with pytest.raises(UsageError, match=r"no engine 'tensorrt'\. Choose one of torch, openvino, int8"):
        open_engine(model, "cpu", "tensorrt")
    with pytest.raises(UsageError, match=r"no device 'tpu'\. Choose one of auto, cpu, cuda"):
        open_engine(model, "tpu")  # type: ignore[arg-type]
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no CUDA device"):
            open_engine(model, "cuda")


@pytest.mark.parametrize("opener", [open_openvino, open_int8])
def test_engines_of_the_cpu_do_not_run_on_cuda(opener: OpenEngine) -> None:
    with pytest.raises(UsageError, match="runs on the CPU only"):
        opener(load_model(DEFAULT_MODEL), "cuda")


def test_openvino_is_loaded_once_and_stays() -> None:
    """One that is dropped leaves its thread with a stack for signals that is gone; the next signal ends the process."""
    first, second = (open_openvino(load_model(DEFAULT_MODEL), "cpu") for _ in range(2))
    core = first._core
    assert second._core is core
    del first, second
    assert open_openvino(load_model(DEFAULT_MODEL), "cpu")._core is core
