"""docs/python.md, executed as it is written; and the README's lines for Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

import wsi_nucssl

ROOT = Path(__file__).parent.parent


def _blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _in_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "sample_slides").symlink_to(ROOT / "sample_slides")
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    yield
    plt.close("all")


@pytest.mark.parametrize(("page", "least"), [("docs/python.md", 5), ("README.md", 1)])
def test_a_page_runs_as_it_is_written(page: str, least: int) -> None:
    blocks = _blocks(page)
    assert len(blocks) >= least
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{page}[{number}]", "exec"), names)


def test_the_page_names_what_there_is() -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    named = {*re.findall(r"\bwn\.(\w+)", text)}
    assert {"segment", "read_nuclei", "pretrain", "finetune", "benchmark", "tile_loader", "aji"} <= named
    assert named <= {*wsi_nucssl.__all__}
    examples = {path.name for path in (ROOT / "examples").iterdir() if path.suffix in (".py", ".ipynb")}
    assert set(re.findall(r"`(\w+\.(?:py|ipynb))`", text.split("## Examples")[1])) == examples
