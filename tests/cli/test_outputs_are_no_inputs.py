"""`overlay` and `info --thumbnail` replace neither what they read nor, unasked, anything else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.commands import Ended


@pytest.mark.parametrize("command", ["info SLIDE --thumbnail", "overlay SLIDE NUCLEI -o"])
@pytest.mark.parametrize("target", ["slide.tif", "nuclei.geojson", "other.png"])
def test_outputs(command: str, target: str, cli: Callable[..., Ended], slide: Path, tmp_path: Path) -> None:
    here = {"SLIDE": tmp_path / "slide.tif", "NUCLEI": tmp_path / "nuclei.geojson"}
    shutil.copy(slide, here["SLIDE"])
    here["NUCLEI"].write_text('{"type":"FeatureCollection","features":[]}')
    (tmp_path / "other.png").write_text("mine")
    before = (tmp_path / target).read_bytes()
    words = [here.get(word, word) for word in command.split()]
    assert cli(*words, tmp_path / target).code == 5
    assert (tmp_path / target).read_bytes() == before
    ended = cli(*words, tmp_path / target, "--overwrite")
    is_input = target == "slide.tif" or (target == "nuclei.geojson" and "NUCLEI" in command)
    is_picture = target != "nuclei.geojson"
    assert ended.code == (5 if is_input else 0 if is_picture else 2)
    assert ((tmp_path / target).read_bytes() == before) == (is_input or not is_picture)
