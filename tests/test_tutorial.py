"""docs/tutorial.md, executed as it is written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"


def commands() -> list[str]:
    """The page's console blocks, in order."""
    return re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_the_page_walks_the_whole_chain() -> None:
    text = "\n".join(commands())
    chain = ["tile", "pretrain", "probe", "finetune", "benchmark", "segment", "overlay"]
    places = [text.index(f"wsi-nucssl {command} ") for command in chain]
    assert places == sorted(places)


@pytest.mark.slow
def test_the_page_runs_as_it_is_written(monuseg: Path, tmp_path: Path) -> None:
    (tmp_path / "slides").symlink_to(monuseg.parent / "slides")
    (tmp_path / "monuseg").symlink_to(monuseg)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in commands():
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            check=True,
        )
    features = json.loads((tmp_path / "cmu.geojson").read_text())["features"]
    assert len(features) > 500
    scores = json.loads((tmp_path / "scores" / "results.json").read_text())["models"]
    assert 0.2 < scores["mine"]["mean"]["aji"] < 0.6
    for picture in ("cmu.png", "views.png", "ssl/curves.png", "mine/curves.png", "cmu-nuclei.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
