from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from wsi_nucssl.train.dry_run import dry_run
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
    found = dry_run(job, device="cpu", steps=1)
    assert (found.slides, found.tiles) == (2, 5)
    assert [path.name for path in found.empty] == ["2.png"]
    assert found.parameters > 11_000_000
    assert found.seconds == pytest.approx(found.seconds_per_step * 1000)
    assert found.peak_bytes > 1 << 20
    assert sorted(source.iterdir()) == before


def test_a_preview_is_a_png(job: PretrainJob, tmp_path: Path) -> None:
    preview(job, tmp_path / "sheet" / "preview.png")
    picture = cv2.imread(str(tmp_path / "sheet" / "preview.png"))
    assert picture is not None
    assert picture.shape[2] == 3
