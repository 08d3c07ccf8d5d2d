"""Weights come back as they went in, and a file that is not ours says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from wsi_nucssl.benchmark.predictors import KnownSplit
from wsi_nucssl.errors import WeightsError
from wsi_nucssl.models.encoders import build_encoder, resnet
from wsi_nucssl.models.info import ModelInfo, seen_images
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import Storage, load_encoder, rewrite_info, save_encoder, save_model
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.schema import typed

INFO = ModelInfo(
    "a-model",
    "resunet18",
    0.25,
    InstanceConfig(body=0.4, foreground=0.35, regrow_px=3, min_marker_px=10, min_area_px=30),
    provenance={"seed": 3, "scores": {"validation_aji": 0.5}},
)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build("resunet18").eval()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, network: Any) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_model(path, network, INFO)
    return path


@pytest.fixture
def saved(tmp_path: Path, original: Path) -> Path:
    """A copy to do harm to."""
    return Path(shutil.copy(original, tmp_path))


def test_whoever_may_read_a_plain_file_may_read_weights(tmp_path: Path) -> None:
    plain, path = tmp_path / "plain", tmp_path / "model.safetensors"
    plain.write_bytes(b"")
    save_model(path, build("resunet18"), ModelInfo("m", "resunet18", 0.25, InstanceConfig()))
    assert path.stat().st_mode == plain.stat().st_mode


def test_float32_comes_back_to_the_bit(saved: Path, network: Any) -> None:
    model = load_model(saved)
    assert model.info == INFO
    assert len(model.sha256) == 64
    assert not model.network.training
    for name, value in network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], value), name


def test_the_same_weights_give_the_same_bytes(tmp_path: Path, saved: Path, network: Any) -> None:
    for number in range(6):
        save_model(tmp_path / f"{number}.safetensors", network, INFO)
        assert (tmp_path / f"{number}.safetensors").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize(("storage", "share"), [("bfloat16", 0.51), ("int8", 0.27)])
def test_compact_storage_is_small_and_near(
    tmp_path: Path, saved: Path, network: Any, storage: Storage, share: float
) -> None:
    path = tmp_path / "compact.safetensors"
    save_model(path, network, INFO, storage)
    assert path.stat().st_size < share * saved.stat().st_size
    state = load_model(path).network.state_dict()
    for name, value in network.state_dict().items():
        if value.ndim < 4 or value.shape[0] == 1:
            assert torch.equal(state[name], value), name
            continue
        peak = value.abs().amax(dim=(1, 2, 3), keepdim=True)
        bound = peak / 254 * 1.001 if storage == "int8" else value.abs() / 256
        assert bool(((state[name] - value).abs() <= bound).all()), name


def test_saving_what_was_compact_changes_nothing_more(tmp_path: Path, network: Any) -> None:
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    save_model(first, network, INFO, "int8")
    save_model(second, load_model(first).network, INFO, "int8")
    once, twice = (load_model(path).network.state_dict() for path in (first, second))
    assert all(torch.allclose(once[name], twice[name], rtol=1e-6, atol=0) for name in once)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign_text(path: Path) -> None:
    path.write_text("these are not the weights you are looking for")


def damaged_header(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[8:200] = bytes(192)
    path.write_bytes(data)


def foreign_safetensors(path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, path)


def header(**changes: object) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        content = {
            "name": "a",
            "arch": "resunet18",
            "mpp": 0.25,
            "instances": {},
            "classes": ["background", "body", "boundary"],
            **changes,
        }
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        save_file(tensors, path, metadata={"wsi_nucssl": json.dumps(content)})

    return write


def test_the_least_header_is_enough(saved: Path) -> None:
    header()(saved)
    assert load_model(saved).info.provenance == {}


def other_tensors(path: Path) -> None:
    save_model(path, build("resunet18"), replace(INFO, arch="resunet34"))


@pytest.mark.parametrize(
    "harm",
    [
        cut_off,
        empty,
        foreign_text,
        damaged_header,
        foreign_safetensors,
        header(arch="resunet1000"),
        header(classes=["background", "nucleus"]),
        header(instances={"body": 2.0}),
        header(instances={"watershed": True}),
        header(instances=None),
        header(mpp="fine"),
        header(mpp=0),
        header(mpp="0.25"),
        header(mpp=True),
        header(mpp=float("nan")),
        header(name=7),
        header(arch=["resunet18"]),
        header(provenance=["split"]),
        header(instances={"regrow_px": 2.5}),
        header(instances={"body": "0.5"}),
        header(instances={"foreground": float("inf")}),
        header(colour="red"),
        header(name=["a"]),
        header(instances={"body": float("nan")}),
        header(classes=7),
        header(provenance=[]),
        header(provenance={"split": "all"}),
        header(provenance={"split": None}),
        header(provenance={"split": {"train": [7]}}),
        header(provenance={"split": {"train": [{"id": "a"}]}}),
        header(provenance={"split": {"validation": [{"image_sha256": 7}]}}),
        header(provenance={"seen_before": 7}),
        other_tensors,
    ],
)
def test_a_file_that_is_not_a_model_is_named_with_a_remedy(saved: Path, harm: Callable[[Path], None]) -> None:
    harm(saved)
    with pytest.raises(WeightsError) as caught:
        _ = load_model(saved).network
    assert caught.value.path == str(saved)
    assert caught.value.remedy


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(saved: Path, network: Any, value: float) -> None:
    harmed = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first = next(iter(harmed))
    harmed[first].view(-1)[0] = value
    with safe_open(saved, framework="pt") as file:
        header = file.metadata()
    save_file(harmed, saved, metadata=header)
    with pytest.raises(
        WeightsError, match=f"1 of its {len(harmed)} tensors .* not finite, {first} the first"
    ):
        _ = load_model(saved).network


def test_what_is_at_fault_in_a_header_is_named(saved: Path) -> None:
    header(provenance={"split": {"train": [{"image_sha256": "0"}, {}]}})(saved)
    with pytest.raises(WeightsError, match=r"provenance\.split\.train\.1\.image_sha256 is no str but None"):
        load_model(saved)


def test_a_maker_may_note_more_than_is_read(saved: Path) -> None:
    noted = {"split": {"train": [{"image_sha256": "0", "organ": "Liver"}], "seed": 1}, "scores": [1, None]}
    header(provenance=noted)(saved)
    info = load_model(saved).info
    assert info.provenance == noted
    assert seen_images(info) == {"0"}
    assert KnownSplit.of(info) == KnownSplit(frozenset({"0"}), frozenset())


def test_a_network_is_that_of_the_file_that_was_opened(saved: Path) -> None:
    model = load_model(saved)
    rewrite_info(saved, replace(INFO, name="another"))
    with pytest.raises(WeightsError, match="changed while"):
        _ = model.network


def test_a_header_that_is_not_an_object_is_refused(saved: Path) -> None:
    save_file({"weight": torch.zeros(3)}, saved, metadata={"wsi_nucssl": "[1, 2]"})
    with pytest.raises(WeightsError, match="does not describe"):
        load_model(saved)


def test_a_model_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="Bundled models"):
        load_model("no-such-model")
    with pytest.raises(WeightsError, match="no weights yet"):
        load_model(tmp_path)


def test_a_run_directory_stands_for_its_weights(tmp_path: Path, network: Any) -> None:
    save_model(tmp_path / "model.safetensors", network, INFO)
    assert load_model(tmp_path).info == INFO


def test_a_run_of_pretraining_is_not_a_model(tmp_path: Path) -> None:
    save_encoder(tmp_path / "encoder.safetensors", build_encoder("resnet18"), {})
    with pytest.raises(WeightsError, match=r"encoder\.safetensors.*finetune"):
        load_model(tmp_path)


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "int8"])
def test_another_header_leaves_the_tensors_as_they_are_stored(
    tmp_path: Path, network: Any, storage: Storage
) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, network, INFO, storage)
    with safe_open(path, framework="pt") as file:
        before = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    other = replace(INFO, instances=InstanceConfig(body=0.7))
    rewrite_info(path, other)
    assert load_model(path).info == other
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == set(before)
        assert all(torch.equal(file.get_tensor(name), value) for name, value in before.items())
        assert all(file.get_tensor(name).dtype == value.dtype for name, value in before.items())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError, match="not a whole"):
        rewrite_info(path, other)


def test_an_encoder_comes_back_alone(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    encoder, other = build_encoder("resnet18"), build_encoder("resnet18")
    save_encoder(path, encoder, {"task": "rotation"})
    load_encoder(other, path)
    assert all(torch.equal(other.state_dict()[name], v) for name, v in encoder.state_dict().items())
    with pytest.raises(WeightsError, match=r"resnet18.*resnet34.*`arch`"):
        load_encoder(build_encoder("resnet34"), path)


def test_a_whole_model_gives_its_encoder(saved: Path, network: Any) -> None:
    encoder = build_encoder("resnet18")
    load_encoder(encoder, saved)
    assert all(torch.equal(encoder.state_dict()[name], v) for name, v in network.encoder.state_dict().items())


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"name": 7}'])
def test_a_damaged_encoder_header_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "encoder.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata={"wsi_nucssl_encoder": content})
    with pytest.raises(WeightsError) as caught:
        load_encoder(build_encoder("resnet18"), path)
    assert caught.value.path == str(path)
    assert caught.value.remedy


class _Offline:
    url = "https://download.pytorch.org/models/resnet18-f37072fd.pth"

    def get_state_dict(self, progress: bool) -> dict[str, torch.Tensor]:
        assert not progress
        raise URLError("no network")


class _AtHand(_Offline):
    def get_state_dict(self, progress: bool) -> dict[str, torch.Tensor]:
        from torchvision.models import resnet18

        assert not progress
        torch.manual_seed(7)
        state: dict[str, torch.Tensor] = resnet18().state_dict()
        return state


def _serve(monkeypatch: pytest.MonkeyPatch, source: _Offline) -> None:
    class Weights:
        DEFAULT = source

    monkeypatch.setattr(resnet, "get_model_weights", {"resnet18": Weights}.__getitem__)


def test_imagenet_offline_says_where_to_put_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    _serve(monkeypatch, _Offline())
    with pytest.raises(WeightsError) as caught:
        load_encoder(build_encoder("resnet18"), "imagenet")
    assert "no network" in caught.value.what
    assert "resnet18-f37072fd.pth" in str(caught.value.remedy)


def test_imagenet_weights_come_without_their_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    source = _AtHand()
    _serve(monkeypatch, source)
    encoder = build_encoder("resnet18")
    load_encoder(encoder, "imagenet")
    assert torch.equal(
        encoder.state_dict()["conv1.weight"], source.get_state_dict(progress=False)["conv1.weight"]
    )


def test_only_whole_files_are_left(tmp_path: Path, network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr(Path, "replace", fails)  # the partial file is written by then
    with pytest.raises(RuntimeError, match="power cut"):
        save_model(tmp_path / "model.safetensors", network, INFO)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arch", "storage"), [("resunet18", "int8"), ("resunet34", "float32")])
def test_types_come_back_with_a_plane_each(tmp_path: Path, arch: str, storage: Storage) -> None:
    info, path = (
        replace(INFO, arch=arch, schema=typed(["lymphocyte", "tumour"])),
        tmp_path / "typed.safetensors",
    )
    save_model(path, build(arch, info.schema), info, storage)
    model = load_model(path)
    assert model.info == info
    assert model.network.schema == info.schema
    assert model.network(torch.zeros(1, 3, 32, 64)).shape == (1, 5, 32, 64)


def test_without_types_the_header_says_what_it_always_said(saved: Path) -> None:
    with safe_open(saved, framework="numpy") as file:
        said = json.loads(file.metadata()["wsi_nucssl"])
    assert list(said) == ["name", "arch", "mpp", "instances", "classes", "provenance"]
    assert said["classes"] == ["background", "body", "boundary"]


def test_a_schema_of_the_future_says_to_update(saved: Path) -> None:
    header(schema={"planes": ["background", "star"], "instances": "star-convex", "types": []})(saved)
    with pytest.raises(WeightsError, match=r"star-convex.*unknown to this version") as raised:
        load_model(saved)
    assert raised.value.remedy == "Update wsi-nucssl"
