"""A batch of slides of which some are bad: interrupted twice, resumed, retried, and shared by several processes."""

from __future__ import annotations

import csv
import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest

from tests.segment import fakes
from tests.segment.children import Child, fork_server
from wsi_nucssl.files import sha256_file
from wsi_nucssl.slide import RGB

Begin = Callable[..., Child]


@pytest.fixture(scope="module")
def begin(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    with fork_server(slide, tmp_path_factory.mktemp("fork_server") / "log") as server:
        yield server


@pytest.fixture(scope="module")
def batch(pixels: RGB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six slides in two folders, of which two have one stem, and four files that are none."""
    folder = tmp_path_factory.mktemp("batch")
    for name in ("a/x.tif", "b/x.tif", "a/y.tif", "b/z.tif", "b/w.tif", "v.tif"):
        (folder / name).parent.mkdir(exist_ok=True)
        fakes.write_slide(folder / name, pixels[: 300 + 30 * len(list(folder.rglob("*.tif")))])
    good = (folder / "a" / "x.tif").read_bytes()
    (folder / "a" / "cut.tif").write_bytes(good[: len(good) // 2])
    (folder / "b" / "empty.svs").touch()
    (folder / "letter.svs").write_text("Dear colleague\n" * 100)
    cv2.imwrite(str(folder / "unknown_mpp.png"), pixels[..., ::-1])
    (folder / "notes.txt").write_text("mine")
    return folder


GOOD = {"a/x", "b/x", "a/y", "b/z", "b/w", "v"}
BAD = {"a/cut", "b/empty", "letter", "unknown_mpp"}


def _rows(out: Path) -> dict[str, dict[str, str]]:
    try:
        with (out / "batch.csv").open(newline="") as file:
            return {row["output"].removesuffix(".geojson"): row for row in csv.DictReader(file)}
    except FileNotFoundError:
        return {}


def _done(out: Path) -> int:
    return sum(row["state"] == "done" for row in _rows(out).values())


def _bytes(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): sha256_file(path) for path in out.rglob("*.geojson")}


@pytest.fixture(scope="module")
def undisturbed(
    begin: Begin, batch: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    out = tmp_path_factory.mktemp("undisturbed")
    assert begin("segment", batch, "-o", out, "--model", weights).wait() == 3
    assert {name.removesuffix(".geojson") for name in _bytes(out)} == GOOD
    return _bytes(out)


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL])
def test_interrupted_twice_and_resumed(
    begin: Begin,
    batch: Path,
    weights: Path,
    tmp_path: Path,
    undisturbed: dict[str, str],
    number: signal.Signals,
) -> None:
    words = ("segment", batch, "-o", tmp_path, "--model", weights)
    first = begin(*words, seconds=0.05)
    assert first.kill_when(lambda: _done(tmp_path) >= 1, number) not in (0, 3)
    after_first = _done(tmp_path)
    second = begin(*words, "--resume", seconds=0.05)
    assert second.kill_when(lambda: _done(tmp_path) >= after_first + 2, number) not in (0, 3)
    done = _done(tmp_path)
    assert after_first < done < len(GOOD)
    last = begin(*words, "--resume")
    assert last.wait() == 3
    said = last.log.read_text()
    assert f"{done} done earlier, {10 - done} to do" in said
    assert f"{batch}: 10 slides; left out: 1 .txt" in said
    listed = said[said.index("4 of 10 slides failed:") :].splitlines()[1:]
    assert len(listed) == 4
    assert all("." in line.partition(": ")[2] for line in listed), "each with a remedy"
    assert _bytes(tmp_path) == undisturbed
    rows = _rows(tmp_path)
    assert {name for name, row in rows.items() if row["state"] == "done"} == GOOD
    assert {name for name, row in rows.items() if row["state"] == "failed"} == BAD
    assert all(
        row["nuclei"] == "" and row["error"] and row["remedy"] for name, row in rows.items() if name in BAD
    )
    assert all(row["sha256"] == undisturbed[f"{name}.geojson"] for name, row in rows.items() if name in GOOD)
    assert all("double" in row["versions"] for row in rows.values())
    log = [line.split()[1:3] for line in (tmp_path / "batch.log").read_text().splitlines()]
    assert log.count(["batch", "begins:"]) == 3


def test_only_what_failed_is_tried_again(begin: Begin, batch: Path, weights: Path, tmp_path: Path) -> None:
    words = ("segment", batch, "-o", tmp_path, "--model", weights)
    assert begin(*words).wait() == 3
    before = _rows(tmp_path)
    waiting = {**before["v"], "state": "waiting"}  # of a job that never ran
    _write(tmp_path, {**before, "v": waiting})
    whole = (batch / "b" / "empty.svs", batch / "b" / "w.tif")
    whole[0].write_bytes(whole[1].read_bytes())
    try:
        again = begin(*words, "--retry-failed")
        assert again.wait() == 3
    finally:
        whole[0].write_bytes(b"")
    said = again.log.read_text()
    assert "4 to do" in said
    assert "3 of 4 slides failed:" in said
    rows = _rows(tmp_path)
    mended = rows.pop("b/empty")
    assert (mended["state"], mended["attempts"], mended["error"]) == ("done", "2", "")
    assert mended["nuclei"] == rows["b/w"]["nuclei"]
    assert {name for name, row in rows.items() if row["attempts"] == "2"} == BAD - {"b/empty"}
    assert rows["v"] == waiting
    assert {name: row for name, row in rows.items() if name in GOOD - {"v"}} == {
        name: row for name, row in before.items() if name in GOOD - {"v"}
    }


def _write(out: Path, rows: dict[str, dict[str, str]]) -> None:
    with (out / "batch.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*next(iter(rows.values()))])
        writer.writeheader()
        writer.writerows(rows.values())


def test_jobs_of_an_array_share_a_folder(
    begin: Begin, batch: Path, weights: Path, tmp_path: Path, undisturbed: dict[str, str], slide: Path
) -> None:
    words = ("segment", batch, "-o", tmp_path, "--model", weights, "--json", "--quiet")
    with fork_server(slide, tmp_path / "other_log") as other:
        jobs = [start(*words, "--shard", f"{n}/3", seconds=0.05) for start, n in ((begin, 2), (other, 3))]
        assert {job.wait() for job in jobs} <= {0, 3}
    seen = [row for job in jobs for row in _json(job.log)["slides"]]
    job = begin(*words, "--shard", "1/3")
    assert job.wait() in (0, 3)
    seen += _json(job.log)["slides"]
    assert Counter(row["output"].removesuffix(".geojson") for row in seen) == Counter(GOOD | BAD)
    rows = _rows(tmp_path)
    assert {name for name, row in rows.items() if row["state"] == "done"} == GOOD
    assert {name for name, row in rows.items() if row["state"] == "failed"} == BAD
    assert {row["attempts"] for row in rows.values()} == {"1"}
    assert _bytes(tmp_path) == undisturbed


def _json(log: Path) -> dict[str, list[dict[str, str]]]:
    """The object in a log of standard output and standard error."""
    text = log.read_text()
    found: dict[str, list[dict[str, str]]]
    found, _ = json.JSONDecoder().raw_decode(text[text.index('{\n  "version"') :])
    return found


def test_two_processes_of_one_batch_do_not_disturb_each_other(
    begin: Begin, batch: Path, weights: Path, tmp_path: Path, undisturbed: dict[str, str], slide: Path
) -> None:
    words = ("segment", batch, "-o", tmp_path, "--model", weights, "--resume")
    with fork_server(slide, tmp_path / "other_log") as other:
        jobs = [start(*words, seconds=0.1) for start in (begin, other)]
        assert [job.wait() for job in jobs] == [3, 3]
    assert _bytes(tmp_path) == undisturbed
    assert {name for name, row in _rows(tmp_path).items() if row["state"] == "done"} == GOOD
