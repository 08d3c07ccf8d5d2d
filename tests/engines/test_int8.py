"""Quantised graphs look at no held-out image, are chosen where they are as good, and refused where they do not fit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.train.tiny import write_dataset
from wsi_nucssl.benchmark.quantise import Cost, check_quantised, quantise_on
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.engines import openvino_engine, quantisation
from wsi_nucssl.engines.graphs import Graph, write_graph
from wsi_nucssl.engines.int8 import KEY, is_preferred, quantised_path, read_quantised
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.engines.quantisation import record_accuracy, record_speed
from wsi_nucssl.errors import OutputExists, WeightsError
from wsi_nucssl.metrics import aji
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.models.weights import Model, load_model
from wsi_nucssl.segment.images import network_input, segment_image


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
    better = costs["data"].accurate and costs["data"].speed > 1
    assert ("int8" in open_engine(model, "cpu").name) == better
    for cost, taken in (
        (Cost(0.6, 0.598, 1.2), True),
        (Cost(0.6, 0.596, 1.2), False),
        (Cost(0.6, 0.6, 0.9), False),
    ):
        check_quantised(model, {"data": dataset}, compare=lambda *_, cost=cost: cost)
        assert ("int8" in open_engine(model, "cpu").name) == taken
        assert "int8" not in open_engine(model, "cpu", "openvino").name


def test_a_cpu_takes_int8_where_it_is_faster_on_cpus_like_it(
    with_graph: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AMX makes floating point the faster one; nobody knows of kernels that were not measured."""
    model = load_model(shutil.copy(with_graph.path, tmp_path / "m.safetensors"))
    shutil.copy(quantised_path(with_graph.path), quantised_path(model.path))
    record_accuracy(model, {}, accurate=True)
    for kernel, speed in (("amx_bf16", 0.9), ("avx512_f32", 1.3), ("avx2_f32", 1.1)):
        record_speed(model, kernel, speed)
    record_speed(model, "avx2_f32", 1.4)
    assert read_quantised(model)[1]["speeds"] == {"amx_bf16": 0.9, "avx512_f32": 1.3, "avx2_f32": 1.4}
    for kernel, taken in (("amx_bf16", False), ("avx512_f32", True), ("avx2_f32", True), ("sse42", False)):
        monkeypatch.setattr(openvino_engine, "best_kernel", lambda kernel=kernel: kernel)
        assert is_preferred(model) == taken
    record_accuracy(model, {}, accurate=False)
    monkeypatch.setattr(openvino_engine, "best_kernel", lambda: "avx2_f32")
    assert not is_preferred(model)
    graph, header = read_quantised(model)
    for speeds in (None, [2.0], {"avx2_f32": "2.0"}, {"avx2_f32": None}):  # of another version, or by hand
        write_graph(quantised_path(model.path), graph, KEY, {**header, "accurate": True, "speeds": speeds})
        assert not is_preferred(model)


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
