"""The loop of propose, correct and fine-tune: corrections are what was drawn, and training on them helps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sample_slides.scene import Scene
from scripts.correction_loop import OutOfFocus, correct, loop, outlines, picture
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.pictures import png

SIZE = Size(1600, 1200)
BOX = Box(300, 200, 556, 456)


def test_what_is_out_of_focus_is_the_same_wherever_a_box_is_cut() -> None:
    scene = OutOfFocus(SIZE, 11)
    whole = scene.render(Box(200, 100, 700, 600))
    np.testing.assert_array_equal(scene.render(BOX), whole[100:356, 100:356])
    sharp = Scene(SIZE, 11).render(BOX).astype(float)
    assert (
        np.abs(np.diff(scene.render(BOX).astype(float), axis=0)).mean()
        < np.abs(np.diff(sharp, axis=0)).mean() / 2
    )


def test_corrections_are_the_nuclei_that_were_drawn(tmp_path: Path) -> None:
    scene = OutOfFocus(SIZE, 11)
    (tmp_path / "a.png").write_bytes(png(scene.render(BOX)))
    (tmp_path / "manifest.json").write_text(
        json.dumps({"a": {"mpp": 0.25, "region": [BOX.x0, BOX.y0, BOX.width, BOX.height]}})
    )
    count = correct(tmp_path, scene)
    (sample,) = open_dataset(tmp_path)
    labels = sample.labels()
    assert (
        0 < count - len(np.unique(labels[labels > 0])) + 1 <= 3
    )  # slivers at an edge may hold no px's centre
    density = 255 - scene.render(BOX).astype(float).mean(axis=2)
    assert density[labels > 0].mean() > density[labels == 0].mean() + 20
    area = sum(nucleus.area for nucleus in outlines(scene, BOX))
    assert (labels > 0).sum() == pytest.approx(area, rel=0.02)


@pytest.mark.slow
def test_a_model_is_better_after_a_few_corrected_tiles(tmp_path: Path) -> None:
    found = loop(tmp_path / "loop", tiles=5, epochs=3, scored=2, size=SIZE, validate_every=3)
    before, after = np.mean([field.scores for field in found], axis=0)
    assert len(found) == 2
    assert after > before + 0.05
    assert picture(found[0]).shape[1] >= 1024
