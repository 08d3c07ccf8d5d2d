"""A batch of slides leaves a ledger, resumed or not."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from tests.cli.commands import Ended
from wsi_nucssl.files import sha256_file

Cli = Callable[..., Ended]


def _rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "batch.csv").open(newline="") as file:
        return {row["output"]: row for row in csv.DictReader(file)}


def test_a_batch_leaves_a_ledger(cli: Cli, slide: Path, glass: Path, weights: Path, tmp_path: Path) -> None:
    bad, out = tmp_path / "bad.svs", tmp_path / "out"
    bad.write_text("no slide")
    words = ("segment", slide, bad, glass, "-o", out, "--model", weights)
    assert cli(*words).code == 3
    rows = _rows(out)
    assert {name: row["state"] for name, row in rows.items()} == {
        "tissue.geojson": "done",
        "bad.geojson": "failed",
        "glass.geojson": "done",
    }
    done, failed = rows["tissue.geojson"], rows["bad.geojson"]
    assert done["path"] == str(slide)
    assert done["sha256"] == sha256_file(out / "tissue.geojson")
    assert int(done["nuclei"]) > 50
    assert float(done["seconds"]) > 0
    assert "no slide or image format" in failed["error"]
    assert "Give a slide" in failed["remedy"]
    assert [line.split()[1] for line in (out / "batch.log").read_text().splitlines()] == [
        "batch",
        *("running", "done"),
        *("running", "failed"),
        *("running", "done"),
    ]


def test_what_was_done_earlier_is_said_to_be(
    cli: Cli, slide: Path, glass: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert cli("segment", slide, "-o", out, "--model", weights).code == 0
    before = _rows(out)["tissue.geojson"]
    ended = cli("segment", slide, glass, "-o", out, "--model", weights, "--resume")
    assert ended.code == 0
    assert "tissue.tif: " in ended.out
    assert ended.out.count("done earlier") == 1
    assert _rows(out)["tissue.geojson"] == before
    assert _rows(out)["glass.geojson"]["attempts"] == "1"


def test_a_slide_that_is_there_and_spared_stays_done(
    cli: Cli, slide: Path, glass: Path, weights: Path, tmp_path: Path
) -> None:
    words = ("segment", slide, glass, "-o", tmp_path / "out", "--model", weights)
    assert cli(*words).code == 0
    before = _rows(tmp_path / "out")
    assert cli(*words).code == 3
    assert _rows(tmp_path / "out") == before


def test_one_slide_into_a_file_has_no_ledger(cli: Cli, glass: Path, weights: Path, tmp_path: Path) -> None:
    assert cli("segment", glass, "-o", tmp_path / "out" / "n.geojson", "--model", weights).code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["n.geojson", "n.geojson.run"]
