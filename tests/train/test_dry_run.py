"""What a pretraining would take and show, before it is begun."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from torch import nn

from wsi_nucssl.train import dry_run as dry_runs
from wsi_nucssl.train.dry_run import dry_run
from wsi_nucssl.train.interval import Interval
from wsi_nucssl.train.pretrain import preview
from wsi_nucssl.train.pretrain_job import PretrainJob
from wsi_nucssl.train.pretrain_recipe import PretrainRecipe


@pytest.fixture
def job(tmp_path: Path) -> PretrainJob:
    for number, side in enumerate((256, 128, 60)):
        image = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    recipe = PretrainRecipe.model_validate(
        {"steps": 1000, "batch_size": 2, "tile_px": 128, "precision": "fp32", "views": {"view_px": 64}}
    )
    return PretrainJob((tmp_path,), recipe, arch="resnet18")


def test_a_dry_run_says_what_the_run_would_take_and_leaves_nothing(job: PretrainJob) -> None:
    (source,) = job.sources
    assert isinstance(source, Path)
    before = sorted(source.iterdir())
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = dry_run(job, device="cpu", steps=1)
    assert (found.slides, found.tiles) == (2, 5)
    assert [path.name for path in found.empty] == ["2.png"]
    assert found.parameters > 11_000_000
    assert found.seconds == pytest.approx(found.seconds_per_step * 1000)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sys.platform == "darwin" or kibibytes * 1024 <= found.peak_bytes <= after * 1024
    assert sorted(source.iterdir()) == before


def test_an_estimate_is_of_the_steps_after_two_that_warm_up(
    job: PretrainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 3 steps of 1, 2 and 5 seconds, which waited a half, a quarter and a fifth of them: 2 of 8."""
    asked: list[tuple[int, int]] = []

    class Timed:
        model, micro_batches = nn.Linear(3, 4), 4

        def __init__(self, short: PretrainJob, *_: object) -> None:
            self.steps = short.recipe.steps

        def run(self, every: int, on_interval: Callable[[Interval], None], _state: Path) -> None:
            asked.append((self.steps, every))
            for step, (seconds, waited) in enumerate(
                [(100.0, 1.0), (50.0, 1.0), (1.0, 0.5), (2.0, 0.25), (5.0, 0.2)], start=1
            ):
                on_interval(Interval(step, 1, {"loss": 1.0}, seconds, waited))

    monkeypatch.setattr(dry_runs, "make_loop", Timed)
    found = dry_run(job, device="cpu")
    assert asked == [(5, 1)]
    assert found.parameters == 16
    assert found.micro_batches == 4
    assert found.seconds_per_step == pytest.approx(8 / 3)
    assert found.loader_fraction == pytest.approx(2 / 8)
    assert found.seconds == pytest.approx(8 / 3 * 1000)


def test_a_preview_is_a_png(job: PretrainJob, tmp_path: Path) -> None:
    preview(job, tmp_path / "sheet" / "preview.png")
    picture = cv2.imread(str(tmp_path / "sheet" / "preview.png"))
    assert picture is not None
    assert picture.shape[2] == 3
