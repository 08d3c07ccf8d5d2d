"""`wsi-nucssl models` lists what is bundled and what is found, as cards and headers have it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.commands import Ended
from tests.segment.fakes import DarkIsNucleus, model
from wsi_nucssl.doctor.speed import mm2_per_minute
from wsi_nucssl.files import sha256_file
from wsi_nucssl.models.catalogue import model_entry
from wsi_nucssl.models.info import BUNDLED, bundled_models
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import save_encoder, save_model


@pytest.mark.parametrize("name", bundled_models())
def test_parameters_are_those_of_the_network(name: str) -> None:
    entry = model_entry(BUNDLED / f"{name}.safetensors")
    assert entry is not None
    assert entry.parameters == sum(each.numel() for each in build(entry.architecture).parameters())
    assert entry.licence.startswith("CC BY")
    assert entry.aji


def test_bundled_and_found_models_are_listed_once_each(cli: Callable[..., Ended], tmp_path: Path) -> None:
    info, network = model().info, build("resunet18")
    (tmp_path / "run").mkdir()
    save_model(tmp_path / "run" / "model.safetensors", network, info, "int8")
    save_encoder(tmp_path / "encoder.safetensors", network.encoder, {})
    ended = cli("models", tmp_path, "--json")
    assert ended.code == 0
    listed = {entry["name"]: entry for entry in json.loads(ended.out)}
    assert [*listed] == [*bundled_models(), "double"]
    found = listed["double"]
    assert (found["encoder"], found["input_mpp"], found["bundled"]) == ("resnet18", 0.25, False)
    assert found["sha256"] == sha256_file(tmp_path / "run" / "model.safetensors")
    assert found["aji"] == {}
    assert listed["liteunet0x2-nuclei"]["aji"] == {"gbm40": 78.21}


def test_the_list_fits_a_narrow_terminal_and_names_the_default(
    cli: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    ended = cli("models")
    assert "liteunet0x2-nuclei  default" in ended.out
    assert "sees 0.5, answers at 0.25" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 60


def test_a_damaged_file_is_named_and_the_others_are_listed(cli: Callable[..., Ended], tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes((BUNDLED / "liteunet0x2-open.safetensors").read_bytes()[:5000])
    ended = cli("models", tmp_path)
    assert ended.code == 4
    assert "bad.safetensors" in ended.err
    assert "resunet101-nuclei" in ended.out


def test_speed_counts_the_area_that_a_slow_engine_gets_through(tmp_path: Path) -> None:
    shutil.copy(BUNDLED / "liteunet0x2-open.safetensors", tmp_path)
    path = str(tmp_path / "liteunet0x2-open.safetensors")
    slow = mm2_per_minute(path, DarkIsNucleus(seconds=0.5, upscale=2))
    assert 0 < slow <= 2 * 60 * (1024 * 0.25e-3) ** 2  # at most two windows a second
