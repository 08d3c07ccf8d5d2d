"""A pretext task and an encoder of another package go the whole way: pretrain, finetune, weights, segment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.outside import documented, installed
from tests.train.tiny import recipe, scene, write_dataset
from wsi_nucssl import load_model
from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.encoders import ENCODERS, build_encoder
from wsi_nucssl.models.spec import architecture, is_architecture
from wsi_nucssl.models.tensors import load_encoder
from wsi_nucssl.pretext.task import PretextTask
from wsi_nucssl.pretext.tasks import TASKS, build_task
from wsi_nucssl.pretext.weights import load_pretext
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.run import segment_slide
from wsi_nucssl.train.finetune import finetune
from wsi_nucssl.train.job import SplitChoice, make_job
from wsi_nucssl.train.pretrain import pretrain
from wsi_nucssl.train.pretrain_job import PretrainJob
from wsi_nucssl.train.pretrain_recipe import PretrainRecipe
from wsi_nucssl_cli.app import app

TASK, ENCODER = "brightness", "five-convolutions"


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Both packages of docs/extending.md."""
    site = tmp_path_factory.mktemp("site")
    task, encoder = documented("brightness.py"), documented("five_convolutions.py")
    with (
        installed(site, TASKS, "brightness", f"{TASK} = brightness:Brightness", task),
        installed(site, ENCODERS, "five_convolutions", f"{ENCODER} = five_convolutions:FAMILY", encoder),
    ):
        yield


def test_they_are_listed_with_where_they_come_from() -> None:
    expected = ((TASKS, TASK, "brightness"), (ENCODERS, ENCODER, "five_convolutions"))
    for registry, name, package in expected:
        assert name in registry.names
        assert name not in registry.own_names
        assert {each.name: each.help for each in registry}[name] == f"from {package} 1.2"


def test_from_pretraining_to_geojson(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    settings = {"steps": 3, "batch_size": 2, "tile_px": 128, "log_every": 1, "checkpoint_every": 3}
    tiles = tmp_path / "tiles"
    tiles.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    cv2.imwrite(str(tiles / "tile.png"), pixels)
    taught = PretrainRecipe.parse({**settings, "precision": "fp32", "views": {"view_px": 64}})
    result = pretrain(PretrainJob((tiles,), taught, TASK, ENCODER), tmp_path / "ssl", device="cpu")
    assert "loss_brightness" in result.last
    encoder = build_encoder(ENCODER)
    load_encoder(encoder, tmp_path / "ssl")
    assert load_pretext(tmp_path / "ssl")[1].task == TASK

    job = make_job([data], split=SplitChoice(), recipe=recipe(), arch=ENCODER, encoder=str(tmp_path / "ssl"))
    finetune(job, tmp_path / "run", device="cpu")
    model = load_model(tmp_path / "run")
    assert model.info.arch == ENCODER
    assert type(model.network.encoder).__module__ == "five_convolutions"

    picture = tmp_path / "slide.png"
    cv2.imwrite(str(picture), np.tile(scene(0)[0], (4, 4, 1))[..., ::-1])
    output = tmp_path / "nuclei.geojson"
    segment_slide(picture, output, model, SegmentOptions(mpp=0.25, device="cpu"))
    assert json.loads(output.read_text())["type"] == "FeatureCollection"


def test_an_encoder_without_an_architecture_of_its_own_stands_under_the_compact_decoder() -> None:
    assert architecture(ENCODER).encoder == ENCODER
    assert architecture(ENCODER).upscale == 1
    assert not is_architecture("six-convolutions")
    with pytest.raises(UsageError, match="six-convolutions"):
        architecture("six-convolutions")


def test_the_command_line_takes_them_and_names_them_where_a_name_is_wrong(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "tile.png"), np.full((200, 200, 3), 90, np.uint8))
    command = ["pretrain", str(tmp_path), "-o", str(tmp_path / "run"), "--preview", str(tmp_path / "p.png")]
    chosen = CliRunner().invoke(app, [*command, "--task", TASK, "--arch", ENCODER, "--batch-size", "2"])
    assert chosen.exit_code == 0, chosen.output
    assert (tmp_path / "p.png").exists()
    for option, known in (("--task", TASK), ("--arch", ENCODER)):
        refused = CliRunner().invoke(app, [*command, option, "darkness"], env={"COLUMNS": "400"})
        assert refused.exit_code == 2
        assert known in refused.output


def test_the_task_is_what_the_registry_gives() -> None:
    from wsi_nucssl.testing.pretext_tasks import SETTINGS

    task: PretextTask = build_task(TASK, SETTINGS)
    assert type(task).__module__ == "brightness"
