"""Each example, run as its docstring says, on the sample slide; notebooks cell by cell."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SLIDE = ROOT / "sample_slides" / "sample.svs"
ARGUMENTS: dict[str, list[Path | str]] = {
    "segment_and_plot": [SLIDE, "OUT"],
    "pandas_table": [SLIDE, "OUT"],
    "dask_array": [SLIDE],
    "pretrain_finetune_segment": ["OUT"],
    "own_exporter": [SLIDE, "OUT"],
    "own_reader": ["OUT"],
}
WRITTEN: dict[str, set[str]] = {
    "segment_and_plot": {"nuclei.png", "nuclei.geojson"},
    "pandas_table": {"large.geojson", "nuclei.csv"},
    "dask_array": set(),
    "pretrain_finetune_segment": {"tiles", "ssl", "model", "nuclei.geojson", "nuclei.report.html"},
    "own_exporter": {"nuclei.wkt"},
    "own_reader": {"slide.npy"},
}


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    mpl.use("Agg")
    monkeypatch.chdir(ROOT)
    yield
    plt.close("all")


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_example_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [str(tmp_path if each == "OUT" else each) for each in ARGUMENTS[name]]
    monkeypatch.setattr(sys, "argv", [name, *given])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    there = {path.name for path in tmp_path.iterdir() if not path.name.endswith((".run", ".lock"))}
    assert WRITTEN[name] == {path for path in there if not path.startswith(".")}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_and_holds_no_output(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = json.loads(path.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 3
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    (tmp_path / "sample_slides").symlink_to(ROOT / "sample_slides")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, cell in enumerate(code):
        exec(compile("".join(cell["source"]), f"{path.name}[{number}]", "exec"), names)
