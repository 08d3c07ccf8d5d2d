"""A shipped topology filled with a weights file is the network that PyTorch makes of that file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from scripts.topologies import bundled_architectures
from wsi_nucssl.engines.exporting import export_graph, topology_of
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.engines.openvino_engine import OpenVinoEngine
from wsi_nucssl.engines.topology import FOLDER, Topology, shipped_topology, topology_path
from wsi_nucssl.errors import WeightsError
from wsi_nucssl.models.arrays import SCALE, read_arrays
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.info import bundled_models
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import Storage, save_model
from wsi_nucssl.models.weights import Model, load_model
from wsi_nucssl.schema import NucleusType, OutputSchema
from wsi_nucssl.testing.engines import make_windows


@pytest.mark.parametrize("name", bundled_models())
def test_a_bundled_model_runs_as_its_export_does(name: str) -> None:
    """To the byte. Where this fails: python -m scripts.topologies."""
    model, windows = load_model(name), make_windows(1)
    exported = OpenVinoEngine(export_graph(model.network), model.info.upscale, exact_division=True)
    shipped = open_engine(load_model(name), "cpu", "openvino")
    expected = exported.predict(windows)
    assert expected.std() > 5
    assert shipped.predict(windows).tobytes() == expected.tobytes()


def test_there_is_one_for_each_architecture_of_a_bundled_model() -> None:
    assert {topology_path(arch) for arch in bundled_architectures()} == {*FOLDER.iterdir()}


def test_other_weights_of_the_architecture_run_as_well(tmp_path: Path) -> None:
    """What the bundled weights are is not in the topology; nor does it matter that two tensors are the same here."""
    torch.manual_seed(0)
    network = build(load_model(DEFAULT_MODEL).info.arch).eval()
    network.get_parameter("decoder.head.0.weight").data *= 100  # sure of itself, as trained ones are
    save_model(tmp_path / "m.safetensors", network, load_model(DEFAULT_MODEL).info)
    windows = make_windows(1)
    exported = OpenVinoEngine(export_graph(network), network.upscale, exact_division=True)
    expected = exported.predict(windows)
    assert expected.std() > 20
    model = load_model(tmp_path / "m.safetensors")
    assert open_engine(model, "cpu", "openvino").predict(windows).tobytes() == expected.tobytes()
    assert "network" not in vars(model)  # nobody asked PyTorch for it


def test_what_is_written_is_read_back_and_the_same_every_time(tmp_path: Path) -> None:
    made = topology_of("resunet18")
    for name in "ab":
        made.save(tmp_path / name)
    assert Topology.read(tmp_path / "a") == made
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    weights = {each["tensor"] for each in made.constants if "tensor" in each}
    assert {*made.shapes} - weights == {name for name in made.shapes if name.endswith("num_batches_tracked")}


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "int8"])
def test_arrays_are_what_the_network_holds(tmp_path: Path, storage: Storage) -> None:
    """However they are stored, to the bit; and these are the weights that were saved, up to their rounding."""
    bundled, network = load_model(DEFAULT_MODEL), build("resunet18")
    path = tmp_path / "m.safetensors"
    save_model(path, network, replace(bundled.info, arch="resunet18"), storage)
    arrays, held = read_arrays(path), load_model(path).network.state_dict()
    assert arrays.keys() == held.keys()
    rounding = {"float32": 0, "bfloat16": 2**-8, "int8": 0.5 / 127}[storage]
    for name, saved in network.state_dict().items():
        array, whole = arrays[name], saved.numpy()
        assert array.dtype == whole.dtype
        assert array.tobytes() == held[name].numpy().tobytes()
        largest = np.abs(whole).max(axis=tuple(range(1, whole.ndim)), keepdims=True)
        assert (np.abs(array - whole) <= rounding * 1.001 * largest).all()


def another_shape(arrays: dict[str, NDArray[Any]]) -> None:
    arrays["mean"] = np.zeros((1, 4, 1, 1), np.float32)


def one_missing(arrays: dict[str, NDArray[Any]]) -> None:
    del arrays["std"]


def one_too_many(arrays: dict[str, NDArray[Any]]) -> None:
    arrays["decoder.other"] = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (another_shape, r"mean: \[1, 4, 1, 1\] for \[1, 3, 1, 1\]"),
        (one_missing, r"std: none for \[1, 3, 1, 1\]"),
        (one_too_many, r"decoder.other: \[3\] for none"),
    ],
)
def test_tensors_of_another_architecture_are_refused(change: Any, fault: str) -> None:
    model = load_model(DEFAULT_MODEL)
    topology, arrays = shipped_topology(model.info), read_arrays(model.path)
    assert topology is not None
    change(arrays)
    with pytest.raises(ValueError, match=fault):
        topology.filled(arrays)


def test_a_file_that_says_another_architecture_than_it_holds_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_model(path, build("resunet18"), load_model(DEFAULT_MODEL).info)
    with pytest.raises(WeightsError, match="the tensors do not fit the architecture") as caught:
        open_engine(load_model(path), "cpu", "openvino")
    assert caught.value.path == str(path)


@pytest.mark.parametrize("scale", [np.ones(3, np.float32), np.float32(1), np.ones((2, 2), np.float32)])
def test_scales_that_fit_no_tensor_are_damage(tmp_path: Path, scale: NDArray[np.float32]) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(save({"a": np.ones((2, 1, 1, 1), np.int8), f"a{SCALE}": np.asarray(scale)}))
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        read_arrays(path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    bundled = load_model(DEFAULT_MODEL)
    bundled.network.mean[:] = torch.nan
    save_model(tmp_path / "m.safetensors", bundled.network, bundled.info)
    with pytest.raises(WeightsError, match=r"1 of its .* not finite, mean the first"):
        open_engine(load_model(tmp_path / "m.safetensors"), "cpu", "openvino")


def test_a_network_of_types_has_none() -> None:
    """It has more channels than the shipped one."""
    info = load_model(DEFAULT_MODEL).info
    typed = OutputSchema(types=(NucleusType("tumour", (200, 0, 0)), NucleusType("other", (0, 200, 0))))
    assert shipped_topology(info) is not None
    assert shipped_topology(replace(info, schema=typed)) is None


def test_a_file_that_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    bundled = load_model(DEFAULT_MODEL)
    path = tmp_path / "m.safetensors"
    path.write_bytes(bundled.path.read_bytes())
    model: Model = load_model(path)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(WeightsError, match="changed while they were in use"):
        open_engine(model, "cpu", "openvino")
