"""A batch of slides leaves a ledger, resumed or not."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.commands import Ended
from tests.segment import fakes
from wsi_nucssl.files import sha256_file
from wsi_nucssl.slide import RGB

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
    assert "1 done earlier, 1 to do" in ended.err
    assert _rows(out)["tissue.geojson"] == before
    assert _rows(out)["glass.geojson"]["attempts"] == "1"
    log = (out / "batch.log").read_text().splitlines()[3:]
    assert [line.split()[1] for line in log] == ["batch", "running", "done"]
    assert "tissue.tif" not in "".join(log)


def test_what_was_done_earlier_and_is_lost_is_done_again(
    cli: Cli, slide: Path, glass: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("segment", slide, glass, "-o", out, "--model", weights)
    assert cli(*words).code == 0
    before = _rows(out)["tissue.geojson"]
    (out / "tissue.geojson.run" / "summary.json").unlink()
    (out / "glass.geojson").unlink()
    ended = cli(*words, "--resume")
    assert ended.code == 0
    assert "1 done earlier, 1 to do" in ended.err
    rows = _rows(out)
    assert {row["state"] for row in rows.values()} == {"done"}
    assert {row["attempts"] for row in rows.values()} == {"2"}
    assert rows["tissue.geojson"]["sha256"] == before["sha256"]


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
    written = ["n.geojson", "n.geojson.run", "n.report.html"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == written


def test_json_is_all_that_is_printed(
    cli: Cli, slide: Path, glass: Path, weights: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.svs"
    bad.write_text("no slide")
    ended = cli("segment", slide, bad, glass, "-o", tmp_path / "out", "--model", weights, "--json")
    assert ended.code == 3
    said = json.loads(ended.out)
    assert said["totals"]["slides"] == 3
    assert (said["totals"]["done"], said["totals"]["failed"], said["totals"]["waiting"]) == (2, 1, 0)
    assert [row["state"] for row in said["slides"]] == ["done", "failed", "done"]
    assert said["totals"]["nuclei"] == said["slides"][0]["nuclei"] + said["slides"][2]["nuclei"]
    assert said["slides"][1]["nuclei"] is None
    assert said["ledger"] == str(tmp_path / "out" / "batch.csv")


def test_json_of_a_lone_slide_that_fails(cli: Cli, bad: Path, weights: Path, tmp_path: Path) -> None:
    ended = cli("segment", bad, "-o", tmp_path / "n.geojson", "--model", weights, "--json")
    assert ended.code == 4
    if not bad.is_dir():
        (row,) = json.loads(ended.out)["slides"]
        assert (row["state"], row["output"]) == ("failed", str(tmp_path / "n.geojson"))


def test_tile_leaves_a_ledger_too(cli: Cli, slide: Path, glass: Path, tmp_path: Path) -> None:
    bad, out = tmp_path / "bad.svs", tmp_path / "out"
    bad.write_text("no slide")
    words = ("tile", slide, bad, glass, "-o", out, "--json")
    first = json.loads(cli(*words).out)
    ended = cli(*words)
    assert ended.code == 3
    assert "2 done earlier, 1 to do" in ended.err
    again = json.loads(ended.out)
    assert again["totals"]["done_earlier"] == 2
    rows = _rows(out)
    assert {name: row["state"] for name, row in rows.items()} == {
        "tissue.zarr": "done",
        "bad.zarr": "failed",
        "glass.zarr": "done",
    }
    assert float(rows["tissue.zarr"]["tissue_mm2"]) == pytest.approx(0.5 * 0.6 / 16, rel=0.2)
    assert len(rows["tissue.zarr"]["sha256"]) == 64
    assert rows["tissue.zarr"]["nuclei"] == ""
    assert {name: rows[name]["attempts"] for name in rows} == {
        "tissue.zarr": "1",
        "bad.zarr": "2",
        "glass.zarr": "1",
    }
    assert [row["sha256"] for row in first["slides"]] == [row["sha256"] for row in again["slides"]]


def test_nothing_failed_and_nothing_is_done(
    cli: Cli, slide: Path, glass: Path, weights: Path, tmp_path: Path
) -> None:
    words = ("segment", slide, glass, "-o", tmp_path / "out", "--model", weights)
    assert cli(*words).code == 0
    before = _rows(tmp_path / "out")
    ended = cli(*words, "--retry-failed")
    assert (ended.code, ended.out) == (0, "")
    assert "0 to do" in ended.err
    assert _rows(tmp_path / "out") == before


def test_tissue_of_slides_with_one_stem_is_kept_apart(
    cli: Cli, pixels: RGB, weights: Path, tmp_path: Path
) -> None:
    for number, folder in enumerate(("a", "b")):
        (tmp_path / "in" / folder).mkdir(parents=True)
        fakes.write_slide(tmp_path / "in" / folder / "x.tif", pixels[: 300 + 200 * number])
    words = ("segment", tmp_path / "in", "--model", weights)
    assert cli(*words, "-o", tmp_path / "out", "--write-tissue", tmp_path / "tissue").code == 0
    written = sorted(
        path.relative_to(tmp_path / "tissue").as_posix() for path in tmp_path.glob("tissue/**/*.geojson")
    )
    assert written == ["a/x.geojson", "b/x.geojson"]
    assert cli(*words, "-o", tmp_path / "again", "--tissue", tmp_path / "tissue").code == 0
    for name in ("a/x.geojson", "b/x.geojson"):
        nuclei = [json.loads((tmp_path / out / name).read_text())["features"] for out in ("out", "again")]
        assert nuclei[0]
        assert [each["geometry"] for each in nuclei[0]] == [each["geometry"] for each in nuclei[1]]
    (tmp_path / "tissue" / "b" / "x.geojson").rename(tmp_path / "tissue" / "x.geojson")
    ended = cli(*words, "-o", tmp_path / "third", "--tissue", tmp_path / "tissue")
    assert ended.code == 2
    assert "would be the tissue of 2 slides" in ended.err
    assert "b/x.geojson" in ended.err


def test_each_slide_of_a_batch_has_its_own_regions(
    cli: Cli, pixels: RGB, weights: Path, tmp_path: Path
) -> None:
    def draw(name: str, x: int, kind: str) -> None:
        ring = [[x, 100], [x + 150, 100], [x + 150, 250], [x, 250], [x, 100]]
        path = tmp_path / "roi" / f"{name}.geojson"
        path.parent.mkdir(parents=True, exist_ok=True)
        properties = {"objectType": "annotation", "classification": {"name": kind}}
        geometry = {"type": "Polygon", "coordinates": [ring]}
        path.write_text(json.dumps([{"type": "Feature", "geometry": geometry, "properties": properties}]))

    for folder in ("a", "b"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        fakes.write_slide(tmp_path / "in" / folder / "x.tif", pixels)
    words = ("segment", tmp_path / "in", "--model", weights, "--roi", tmp_path / "roi")
    draw("a/x", 50, "Tumor")
    ended = cli(*words, "-o", tmp_path / "out")
    assert (ended.code, (tmp_path / "out").exists()) == (2, False)
    assert "1 of 2 slides: x.tif" in ended.err
    assert "b/x.geojson" in ended.err
    draw("b/x", 250, "Stroma")
    assert cli(*words, "-o", tmp_path / "out").code == 0
    for name, low in (("a/x", 50), ("b/x", 250)):
        found = json.loads((tmp_path / "out" / f"{name}.geojson").read_text())["features"]
        xs = [each["geometry"]["coordinates"][0][0][0] for each in found]
        assert len(xs) > 3
        assert low - 20 < min(xs) <= max(xs) < low + 170
    ended = cli(*words, "--roi-class", "Tumor", "-o", tmp_path / "tumor")
    assert ended.code == 3
    assert "no polygon is of the class Tumor" in ended.err
    assert "another --roi-class: there is Stroma" in ended.err
    assert {name: row["state"] for name, row in _rows(tmp_path / "tumor").items()} == {
        "a/x.geojson": "done",
        "b/x.geojson": "failed",
    }
    ended = cli(*words, "--dry-run", "--json", "-o", tmp_path / "planned")
    assert [slide["windows"] for slide in json.loads(ended.out)["slides"]] == [1, 1]


NAMES = [b"caf\xe9.tif", b'a b, "c".tif', b"line\nbreak.tif", b"[bold]x.tif", "\u7d44\u7e54.tif".encode()]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
@pytest.mark.parametrize("command", ["segment", "tile"])
def test_slides_of_any_name(cli: Cli, slide: Path, weights: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "in").mkdir()
    for name in NAMES:
        (tmp_path / "in" / os.fsdecode(name)).write_bytes(slide.read_bytes())
    model = ["--model", weights] if command == "segment" else []
    words = (command, tmp_path / "in", "-o", tmp_path / "out", *model)
    assert cli(*words, "--shard", "1/2").code == 0
    assert cli(*words, "--shard", "2/2").code == 0
    rows = _rows(tmp_path / "out")
    assert {row["state"] for row in rows.values()} == {"done"}
    assert {Path(name).stem for name in rows} == {"caf", "a_b_c", "line_break", "bold_x", "\u7d44\u7e54"}
    resume = ["--resume"] if command == "segment" else []
    said = json.loads(cli(*words, *resume, "--json").out)
    assert said["totals"]["done_earlier"] == len(NAMES)
    assert [os.fsencode(Path(row["path"]).name) for row in said["slides"]] == sorted(NAMES)


def test_a_dry_run_plans_what_the_ledger_leaves_to_do(
    cli: Cli, slide: Path, glass: Path, weights: Path, tmp_path: Path
) -> None:
    out, bad = tmp_path / "out", tmp_path / "bad.svs"
    bad.write_text("no slide")
    assert cli("segment", slide, bad, "-o", out, "--model", weights).code == 3
    words = ("segment", slide, bad, glass, "-o", out, "--model", weights, "--dry-run", "--json")

    def planned(*more: str) -> list[str]:
        return [Path(each["path"]).name for each in json.loads(cli(*words, *more).out)["slides"]]

    assert planned("--resume") == ["bad.svs", "glass.tif"]
    assert planned("--retry-failed") == ["bad.svs"]
    bad.write_bytes(slide.read_bytes())
    assert cli("segment", slide, bad, "-o", out, "--model", weights, "--resume").code == 0
    assert planned("--retry-failed") == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow other names")
def test_a_name_that_is_too_long_for_outputs_is_said_to_be(
    cli: Cli, slide: Path, weights: Path, tmp_path: Path
) -> None:
    long = tmp_path / f"{'é' * 122}.tif"
    long.write_bytes(slide.read_bytes())
    ended = cli("segment", slide, long, "-o", tmp_path / "out", "--model", weights)
    assert ended.code == 3
    assert "File name too long" in ended.err.replace("\n", " ")
    assert "this is a bug" not in ended.err
    assert "too long" in _rows(tmp_path / "out")[f"{long.stem}.geojson"]["error"]


@pytest.mark.parametrize("command", ["segment", "tile"])
def test_a_list_that_gives_two_slides_one_output_is_refused(
    cli: Cli, slide: Path, glass: Path, tmp_path: Path, command: str
) -> None:
    (tmp_path / "list.csv").write_text(f"path,output\n{slide},same\n{glass},same\n")
    ended = cli(command, "--slides", tmp_path / "list.csv", "-o", tmp_path / "out")
    assert ended.code == 2
    assert "would write the same" in ended.err
    assert not (tmp_path / "out").exists()
