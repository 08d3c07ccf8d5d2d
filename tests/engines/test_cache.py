"""What is kept between runs comes back whole or not at all, and is not in the way where it cannot be kept."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from wsi_nucssl.engines import cache, openvino_engine
from wsi_nucssl.engines.cache import cache_folder, cached, keep
from wsi_nucssl.engines.exporting import openvino_model
from wsi_nucssl.engines.openvino_engine import open_openvino
from wsi_nucssl.engines.topology import shipped_topology
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.models.weights import Model, load_model
from wsi_nucssl.testing.engines import make_windows


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Of an architecture whose topology does not come with the package: it has to be exported."""
    info = replace(load_model(DEFAULT_MODEL).info, arch="resunet18")
    assert shipped_topology(info) is None
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    torch.manual_seed(0)
    network = build(info.arch).eval()
    network.get_parameter("decoder.head.0.weight").data *= 20  # sure of itself, as trained ones are
    save_model(path, network, info)
    return load_model(path)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WSI_NUCSSL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_entry_comes_back(folder: Path) -> None:
    assert cached("a") is None
    keep("a", b"content")
    keep("b", b"")
    assert (cached("a"), cached("b"), cached("c")) == (b"content", b"", None)
    assert len([*folder.iterdir()]) == 2


@pytest.mark.parametrize("harm", [b"", b"short", b"x" * 32, b"x" * 100])
def test_a_damaged_entry_counts_as_none(folder: Path, harm: bytes) -> None:
    keep("a", b"content" * 10)
    (path,) = folder.iterdir()
    path.write_bytes(harm)
    assert cached("a") is None
    keep("a", b"again")
    assert cached("a") == b"again"


def test_two_writers_leave_a_whole_entry(folder: Path) -> None:
    contents = [bytes([number]) * 300_000 for number in range(8)]

    def write_and_read(content: bytes) -> bytes | None:
        keep("a", content)
        return cached("a")

    with ThreadPoolExecutor(8) as pool:
        assert all(seen in contents for seen in pool.map(write_and_read, contents * 4))
    assert len([*folder.iterdir()]) == 1


def test_what_was_used_longest_ago_goes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_LARGEST_BYTES", 350)
    for hour, key in enumerate("abc"):
        keep(key, bytes(68))
        for path in folder.iterdir():
            os.utime(path, (path.stat().st_atime, min(path.stat().st_mtime, hour)))
    assert cached("a")  # used just now
    keep("d", bytes(68))
    assert [key for key in "abcd" if cached(key)] == ["a", "c", "d"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_costs_time_only(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o500)
    keep("a", b"content")
    assert cached("a") is None


def test_a_file_in_the_folders_place_costs_time_only(folder: Path) -> None:
    folder.write_bytes(b"")
    keep("a", b"content")
    assert cached("a") is None


def test_the_folder_is_where_the_system_has_such_things(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == Path(os.environ["WSI_NUCSSL_CACHE"])
    monkeypatch.delenv("WSI_NUCSSL_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/wsi-nucssl")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/wsi-nucssl")


def test_bytes_do_not_depend_on_what_was_kept(model: Model, folder: Path) -> None:
    """Exported and compiled, read from the cache, and as PyTorch's frontend gives it: the same probabilities."""
    windows = make_windows(1)
    predicted = open_openvino(model, "cpu").predict(windows)
    assert predicted.std() > 20
    first = predicted.tobytes()
    kept = {path: path.read_bytes() for path in folder.iterdir()}
    assert len(kept) == 2  # the graph, and what was compiled for one shape
    assert open_openvino(model, "cpu").predict(windows).tobytes() == first
    assert {path: path.read_bytes() for path in folder.iterdir()} == kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:-1])
    assert open_openvino(model, "cpu").predict(windows).tobytes() == first
    direct = openvino_model(model.network)
    direct.reshape(list(windows.shape))
    precision = {"INFERENCE_PRECISION_HINT": "bf16" if open_openvino(model, "cpu").bf16 else "f32"}
    assert (
        openvino_engine.openvino_core().compile_model(direct, "CPU", precision)([windows])[0].tobytes()
        == first
    )


def test_what_openvino_does_not_take_is_compiled_anew(model: Model) -> None:
    windows = make_windows(1)
    engine = open_openvino(model, "cpu")
    key = engine._compiled_key(windows.shape)
    keep(key, b"of another OpenVINO")
    first = engine.predict(windows).tobytes()
    assert cached(key) not in (None, b"of another OpenVINO")
    assert open_openvino(model, "cpu").predict(windows).tobytes() == first


def test_a_model_met_before_is_opened_without_pytorch(model: Model) -> None:
    open_openvino(load_model(model.path), "cpu").predict(make_windows(1))
    code = f"""
import sys
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.testing.engines import make_windows
open_engine(load_model({str(model.path)!r}), "cpu", "openvino").predict(make_windows(1))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
