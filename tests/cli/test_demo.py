"""`demo`: from nothing to nuclei and a page, again without work, and never over another slide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.commands import Ended
from wsi_nucssl import read_nuclei
from wsi_nucssl.jobs import demonstrating

SAMPLE = Path(__file__).parents[2] / "sample_slides" / "sample.svs"


def test_it_leaves_nuclei_and_a_page_and_says_what_comes_next(
    cli: Callable[..., Ended], tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "demo"
    ended = cli("demo", folder, "--no-browser")
    assert ended.code == 0, ended.err
    assert (folder / "sample.svs").read_bytes() == SAMPLE.read_bytes()
    count = len(read_nuclei(folder / "nuclei.geojson").table)
    assert count > 2000
    assert f"{count} nuclei" in ended.out
    assert "first run on a machine compiles" in ended.err
    assert "<html" in (folder / "nuclei.report.html").read_text()
    for command in ("plan", "segment", "view"):
        assert f"wsi-nucssl {command} SLIDE" in ended.out
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}
    assert cli("demo", folder, "--no-browser").code == 0
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()} == before


def test_another_slide_stays(cli: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "sample.svs").write_bytes(b"mine")
    ended = cli("demo", tmp_path, "--no-browser")
    assert ended.code == 5
    assert "another slide is there" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["sample.svs"]


def test_an_installation_that_lacks_the_slide_says_so(
    cli: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demonstrating, "_PLACES", (tmp_path / "none.svs",))
    ended = cli("demo", tmp_path / "demo", "--no-browser")
    assert ended.code == 4
    assert "Install the package again" in ended.err
