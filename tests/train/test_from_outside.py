"""A pretext task and an encoder of another package go the whole way: pretrain, finetune, weights, segment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.train import toy_ssl
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
from wsi_nucssl.testing.encoders import EncoderTests
from wsi_nucssl.testing.pretext_tasks import PretextTaskTests
from wsi_nucssl.train.finetune import finetune
from wsi_nucssl.train.job import SplitChoice, make_job
from wsi_nucssl.train.pretrain import pretrain
from wsi_nucssl.train.pretrain_job import PretrainJob
from wsi_nucssl.train.pretrain_recipe import PretrainRecipe
from wsi_nucssl_cli.app import app

TASK, ENCODER = "brightness", "five-convolutions"


def forget() -> None:
    for registry in (TASKS, ENCODERS):
        vars(registry).pop("_plugins", None)


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The toy's entry points, as pip would leave them in a folder of sys.path."""
    site = tmp_path_factory.mktemp("site")
    info = site / "toy_ssl-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-ssl\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(toy_ssl.ENTRY_POINTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        forget()
        yield
    forget()


class TestBrightnessConforms(PretextTaskTests):
    name = TASK
    learning_rate = 1e-4


class TestFiveConvolutionsConform(EncoderTests):
    name = ENCODER


def test_they_are_listed_with_where_they_come_from() -> None:
    for registry, name in ((TASKS, TASK), (ENCODERS, ENCODER)):
        assert name in registry.names
        assert name not in registry.own_names
        assert {each.name: each.help for each in registry}[name] == "from toy-ssl 1.0"


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
    assert isinstance(model.network.encoder, toy_ssl.FiveConvolutions)

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
    assert isinstance(task, toy_ssl.Brightness)
