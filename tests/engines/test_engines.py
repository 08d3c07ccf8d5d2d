"""What every engine keeps: shapes, the same bytes every time, and the probabilities of the plain network."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.train.tiny import write_dataset
from wsi_nucssl.benchmark.quantise import Cost, check_quantised, quantise_on
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.engines import quantisation
from wsi_nucssl.engines.base import BodyBoundary, Engine, Windows, default_batch_size
from wsi_nucssl.engines.graphs import Graph
from wsi_nucssl.engines.int8 import quantised_path, read_quantised
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.engines.tta import Augmented
from wsi_nucssl.errors import OutputExists, UsageError, WeightsError
from wsi_nucssl.geometry import Size
from wsi_nucssl.metrics import aji
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.models.weights import DEFAULT_MODEL, Model, load_model
from wsi_nucssl.segment.images import network_input, segment_image

TOLERANCE: dict[str, float] = {"torch": 0.6, "openvino": 0.6, "int8": 2.5}
"""Mean difference from float32, in 255ths."""


def taught(arch: str) -> ResUNet:
    """A network that has seen for a moment that dark discs are bodies: it is sure of itself, as trained ones are."""
    torch.manual_seed(0)
    network = build(arch).train()
    images = torch.from_numpy(discs(4, 96, 96)).permute(0, 3, 1, 2).float()
    dark = (images[:, 0] < 150).long()
    classes = dark.repeat_interleave(network.upscale, 1).repeat_interleave(network.upscale, 2)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(50):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(images), classes).backward()
        optimiser.step()
    return network.eval()


def discs(count: int, height: int, width: int) -> Windows:
    """Windows with dark discs of several sizes on a noisy ground."""
    rng = np.random.default_rng(3)
    rows, cols = np.mgrid[:height, :width]
    image = np.full((count, height, width, 3), (225.0, 180.0, 210.0))
    for window in image:
        for _ in range(height * width // 1200):
            row, col, radius = rng.integers(0, height), rng.integers(0, width), rng.integers(5, 14)
            window[(rows - row) ** 2 + (cols - col) ** 2 < radius**2] = (90, 60, 140)
    return np.clip(image + rng.normal(0, 10, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module", params=["resunet18", "liteunet0x2"])
def model(request: pytest.FixtureRequest, folder: Path) -> Model:
    """A network that answers at the mpp that it sees, and one that answers more finely, each in a folder of its own."""
    arch = request.param
    path = folder / arch / "copy.safetensors"
    if not path.exists():
        bundled = load_model(DEFAULT_MODEL)
        save_model(path, taught(arch), replace(bundled.info, arch=arch))
    return load_model(path)


@pytest.fixture(scope="module")
def with_graph(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The same, once a quantised graph lies beside the weights."""
    pytest.importorskip("nncf", reason="needs wsi-nucssl[int8]", exc_type=ImportError)
    if not quantised_path(model.path).exists():
        quantise_on(model, open_dataset(write_dataset(tmp_path_factory.mktemp("data"), 2)))
    return model


@pytest.fixture(scope="module", params=TOLERANCE)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def engine(kind: str, model: Model, request: pytest.FixtureRequest) -> Engine:
    return open_engine(request.getfixturevalue("with_graph") if kind == "int8" else model, "cpu", kind)


@pytest.fixture(scope="module")
def windows() -> Windows:
    """Two windows that are no squares."""
    return discs(2, 192, 256)


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
    assert predicted.shape == (2, 2, 192 * upscale, 256 * upscale)
    assert predicted.dtype == np.uint8
    expected = in_float32(model.network, windows)
    assert expected.std() > 40  # nuclei and ground, so that agreement means something
    assert np.abs(predicted - expected).mean() < TOLERANCE[kind]


def test_the_same_bytes_from_every_thread_and_every_time(engine: Engine, windows: Windows) -> None:
    first = engine.predict(windows)
    with ThreadPoolExecutor(engine.streams) as pool:
        for again in pool.map(engine.predict, [windows] * 6):
            assert again.tobytes() == first.tobytes()


def test_other_shapes_come_and_go(engine: Engine, windows: Windows) -> None:
    whole = engine.predict(windows)
    for rows, cols in ((64, 64), (96, 64), (192, 224)):
        predicted = engine.predict(windows[:1, :rows, :cols].copy())
        assert predicted.shape == (1, 2, rows * engine.upscale, cols * engine.upscale)
    assert engine.predict(windows).tobytes() == whole.tobytes()


def test_a_name_tells_the_precision(engine: Engine, kind: str, model: Model) -> None:
    assert engine.name.startswith("torch" if kind == "torch" else "openvino")
    assert engine.name.endswith(("bf16", "fp32"))
    assert ("int8" in engine.name) == (kind == "int8")
    if kind == "int8":
        assert read_quantised(model)[0].digest[:8] in engine.name


@dataclass(frozen=True)
class Brightness:
    """An engine whose answer is the red channel, so that turned views must come back to it."""

    upscale: int
    name, streams, batch_px = "brightness", 1, 4 * 1024 * 1024

    def predict(self, windows: Windows) -> BodyBoundary:
        red = windows[..., 0].repeat(self.upscale, 1).repeat(self.upscale, 2)
        return np.stack([red, red // 2], axis=1)


@pytest.mark.parametrize("upscale", [1, 2])
@pytest.mark.parametrize("views", [1, 2, 4, 8])
def test_views_are_turned_back(views: int, upscale: int, windows: Windows) -> None:
    engine = Augmented(Brightness(upscale), views)
    assert engine.upscale == upscale
    assert np.array_equal(engine.predict(windows), Brightness(upscale).predict(windows))
    assert engine.name == f"brightness-{views}-views"
    assert engine.batch_px == Brightness.batch_px
    assert default_batch_size(engine, Size(1024, 1024)) == 4
    assert default_batch_size(engine, Size(4096, 4096)) == 1


def test_views_are_asked_for_when_an_engine_is_opened() -> None:
    model = load_model(DEFAULT_MODEL)
    plain = open_engine(model, "cpu").name
    assert open_engine(model, "cpu", views=1).name == plain
    assert open_engine(model, "cpu", views=4).name == f"{plain}-4-views"
    with pytest.raises(UsageError, match="1, 2, 4 or 8 views, not 3"):
        open_engine(model, "cpu", views=3)


def test_engines_are_refused_where_they_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(DEFAULT_MODEL)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no CUDA device"):
        open_engine(model, "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for engine in ("openvino", "int8"):
        with pytest.raises(UsageError, match="runs on the CPU only"):
            open_engine(model, "cuda", engine)


def test_a_quantised_graph_is_not_replaced_unasked(with_graph: Model, tmp_path: Path) -> None:
    with pytest.raises(OutputExists, match="`overwrite`"):
        quantise_on(with_graph, open_dataset(write_dataset(tmp_path / "data", 1)))


def test_int8_is_chosen_once_it_was_measured_to_be_as_good_and_faster(
    with_graph: Model, tmp_path: Path
) -> None:
    model = load_model(shutil.copy(with_graph.path, tmp_path / "m.safetensors"))
    shutil.copy(quantised_path(with_graph.path), quantised_path(model.path))
    assert "int8" not in open_engine(model, "cpu").name
    dataset = open_dataset(write_dataset(tmp_path / "data", 1))
    costs = check_quantised(model, {"data": dataset})
    sample = dataset["0"]
    for engine, found in (("openvino", costs["data"].aji), ("int8", costs["data"].aji_int8)):
        labels = segment_image(open_engine(model, "cpu", engine), sample.image(), model.info.instances)
        assert found == aji(sample.labels(), labels)
    assert ("int8" in open_engine(model, "cpu").name) == costs["data"].accepted
    for cost, accepted in (
        (Cost(0.6, 0.598, 1.2), True),
        (Cost(0.6, 0.596, 1.2), False),
        (Cost(0.6, 0.6, 0.9), False),
    ):
        assert cost.accepted == accepted
        check_quantised(model, {"data": dataset}, compare=lambda *_, cost=cost: cost)
        assert ("int8" in open_engine(model, "cpu").name) == accepted
        assert "int8" not in open_engine(model, "cpu", "openvino").name


def other_weights(model: Model) -> None:
    model.network.mean += 1
    save_model(model.path, model.network, model.info)


def half_a_file(model: Model) -> None:
    path = quantised_path(model.path)
    path.write_bytes(path.read_bytes()[:1000])


def none_at_all(model: Model) -> None:
    quantised_path(model.path).unlink()


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (other_weights, "other weights.*wsi-nucssl quantise.*DATASET `overwrite`"),
        (half_a_file, "not a whole.*wsi-nucssl quantise.*DATASET `overwrite`"),
        (none_at_all, "there is no quantised graph.*wsi-nucssl quantise.*DATASET$"),
    ],
)
def test_a_graph_that_does_not_belong_is_refused(
    with_graph: Model, tmp_path: Path, damage: Callable[[Model], None], fault: str
) -> None:
    model = with_graph
    path = tmp_path / "copy.safetensors"
    path.write_bytes(model.path.read_bytes())
    quantised_path(path).write_bytes(quantised_path(model.path).read_bytes())
    damage(load_model(path))
    with pytest.raises(WeightsError, match=fault):
        open_engine(load_model(path), "cpu", "int8")


def test_held_out_images_are_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(write_dataset(tmp_path / "data", 3))
    hashes = [sample.hashes()[0] for sample in dataset]
    bundled = load_model(DEFAULT_MODEL)
    bundled.info.provenance["split"] = {
        "train": [{"image_sha256": hashes[0]}],
        "validation": [{"image_sha256": hashes[1]}],
    }
    save_model(tmp_path / "m.safetensors", bundled.network, bundled.info)
    looked_at: list[int] = []

    def watch(_: Model, crops: list[NDArray[np.uint8]]) -> Graph:
        looked_at.append(len(crops))
        return Graph(b"<net/>", b"weights")

    monkeypatch.setattr(quantisation, "_nncf_quantised", watch)
    monkeypatch.setattr(quantisation, "version", lambda name: f"{name} 1.0")
    path, images = quantise_on(load_model(tmp_path / "m.safetensors"), dataset)
    corners = len(quantisation._crops(network_input(dataset["0"].image(), bundled.network.upscale)))
    assert (path.name, images, looked_at) == ("m.int8", 2, [2 * corners])
    assert read_quantised(load_model(tmp_path / "m.safetensors"))[0].bin == b"weights"
