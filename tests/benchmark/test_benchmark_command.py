"""`wsi-nucssl benchmark` and `reproduce` on the command line: outputs, warnings, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from tests.train.tiny import write_dataset
from wsi_nucssl.datasets import holdout, open_dataset
from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.paper.tables import PAPER, Tables
from wsi_nucssl_cli.app import app


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data")


@pytest.fixture
def predictions(dataset: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    for sample in open_dataset(dataset):
        np.save(folder / f"{sample.id}.npy", np.roll(sample.labels(), 2, axis=1))
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_anybodys_predictions_are_scored(dataset: Path, predictions: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("benchmark", dataset, "--predictions", predictions, "-o", out)
    assert result.exit_code == 0, result.output
    assert "| theirs |" in result.stdout
    content = json.loads((out / "results.json").read_text())
    assert 0.5 < content["models"]["theirs"]["mean"]["aji"] < 1
    assert len(list((out / "overlays" / "theirs").iterdir())) == 3


def test_a_model_is_scored_on_what_it_held_out(dataset: Path, predictions: Path, tmp_path: Path) -> None:
    opened = open_dataset(dataset)
    split = holdout(opened, validation=1)
    sides = {
        side: [{"id": e.id, "image_sha256": e.image_sha256} for e in entries]
        for side, entries in (("train", split.train), ("validation", split.validation))
    }
    torch.manual_seed(0)
    info = ModelInfo("tiny", "resunet18", 0.25, InstanceConfig(), provenance={"split": sides})
    save_model(tmp_path / "tiny.safetensors", build("resunet18"), info)
    both = ("--model", tmp_path / "tiny.safetensors", "--predictions", predictions, "--engine", "torch")
    result = run("benchmark", dataset, *both, "-o", tmp_path / "val", "--device", "cpu", "--no-overlays")
    assert result.exit_code == 0, result.output
    assert "1 of 3 images: the validation images" in result.stdout
    assert not (tmp_path / "val" / "overlays").exists()
    result = run(
        "benchmark", dataset, *both, "-o", tmp_path / "all", "--device", "cpu", "--split", "all", "-q"
    )
    assert result.exit_code == 0, result.output
    assert "tiny was trained on 2 of these 3 images" in result.stderr
    assert not result.stdout


def test_without_predictors_the_default_model_is_scored(dataset: Path, tmp_path: Path) -> None:
    result = run("benchmark", dataset, "-o", tmp_path / "out", "--device", "cpu", "--engine", "torch")
    assert result.exit_code == 0, result.output
    assert list(json.loads((tmp_path / "out" / "results.json").read_text())["models"]) == [DEFAULT_MODEL]


def test_groups_and_oracles_are_asked_for_by_name(dataset: Path, predictions: Path, tmp_path: Path) -> None:
    wanted = ("--predictions", predictions, "--by", "patient", "--oracle")
    result = run("benchmark", dataset, *wanted, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "## By patient" in result.stdout
    assert "perfect foreground" in result.stdout
    refused = run("benchmark", dataset, *wanted, "-o", tmp_path / "other", "--stress")
    assert isinstance(refused.exception, UsageError)
    assert "`stress`" in str(refused.exception)


def test_an_unknown_budget_is_refused(dataset: Path, tmp_path: Path) -> None:
    result = run("reproduce", "table3", dataset, "-o", tmp_path / "out", "--budget", "infinite")
    assert isinstance(result.exception, UsageError)
    result = run("reproduce", "table5", dataset, "-o", tmp_path / "out")
    assert isinstance(result.exception, UsageError)
    assert ", ".join(Tables.load(PAPER).tables) in str(result.exception)
