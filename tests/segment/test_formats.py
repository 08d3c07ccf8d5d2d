"""Several formats in one run: beside each other, resumed and replaced together, one of them from outside."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.export.toys import install_toy
from tests.segment import fakes
from tests.segment.children import Child, files_in, fork_server
from tests.segment.features import read_features
from wsi_nucssl.errors import OutputExists, Stopped, UsageError
from wsi_nucssl.export.base import ExportContext, Exporter, WriteNuclei
from wsi_nucssl.export.registry import EXPORTERS
from wsi_nucssl.files import sha256_tree
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.segment.outputs import ordered, outputs, run_path
from wsi_nucssl.segment.run import Steps
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.slide import RGB

Segment = Callable[..., SegmentSummary]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


LEDGER = (".batch.lock", "batch.csv", "batch.log")


def hashes(folder: Path) -> dict[str, str]:
    """Of all that lies in a folder but the ledger, whose log grows."""
    return {path.name: sha256_tree(path) for path in folder.iterdir() if path.name not in LEDGER}


@pytest.fixture(scope="module")
def slide(tissue: RGB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.write_slide(tmp_path_factory.mktemp("slide") / "tissue.tif", tissue[:500, :600])


@pytest.fixture(scope="module")
def run(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Child]]:
    """`wsi-nucssl segment SLIDE` where a package is installed that adds the format `toy`."""
    folder = tmp_path_factory.mktemp("toy")
    install_toy(folder)
    weights, info = folder / "double.safetensors", fakes.model().info
    save_model(weights, build(info.arch), info, "int8")
    with fork_server(slide, folder / "log", folder) as begin:
        yield partial(begin, "segment", slide, "--model", weights)


@needs_fork
def test_a_format_from_outside_is_written_beside_ours(run: Callable[..., Child], tmp_path: Path) -> None:
    formats = ["toy", "geojson", "csv"]
    words = ["-o", tmp_path, "--format", ",".join(formats)]
    child = run(*words)
    assert child.wait() == 0, child.log.read_text()
    written = {name: tmp_path / f"tissue.{name}" for name in formats}
    names = {path.name for path in written.values()} | {"tissue.geojson.run", "tissue.report.html"}
    assert {path.name for path in tmp_path.iterdir()} == {*names, *LEDGER}
    assert all(str(path) in child.log.read_text() for path in written.values())
    ids = [feature["id"] for feature in read_features(written["geojson"])]
    assert len(ids) > 50
    with written["csv"].open(newline="") as file:
        assert sorted(row["id"] for row in csv.DictReader(file)) == ids
    assert sorted(path.name for path in written["toy"].iterdir()) == [*ids, "slide.txt"]
    assert (written["toy"] / "slide.txt").read_text() == "600 0.25"


@needs_fork
def test_a_format_from_outside_is_kept_and_replaced_like_ours(
    run: Callable[..., Child], tmp_path: Path
) -> None:
    toy = tmp_path / "tissue.toy"
    words = ["-o", tmp_path, "--format", "geojson,toy"]
    assert run(*words).wait() == 0
    before = hashes(tmp_path)
    refused = run(*words)
    assert refused.wait() == 5
    assert "--overwrite" in refused.log.read_text()
    assert run(*words, "--resume").wait() == 0
    assert hashes(tmp_path) == before
    whole = sha256_tree(toy)
    (toy / "slide.txt").write_text("edited by hand")
    changed = run(*words, "--resume")
    assert changed.wait() == 5
    assert f"{toy}: the output was changed" in changed.log.read_text()
    assert run(*words, "--overwrite").wait() == 0
    assert sha256_tree(toy) == whole
    assert len(list(tmp_path.iterdir())) == 4 + len(LEDGER)


def has_files(folder: Path, wanted: int) -> bool:
    return files_in(folder) >= wanted


@needs_fork
def test_killed_with_several_formats(run: Callable[..., Child], tmp_path: Path) -> None:
    """At any moment each output is whole or absent, and a resumed run ends in the same bytes."""
    names = ["tissue.geojson", "tissue.csv", "tissue.toy"]
    words = ["--format", "geojson,csv,toy", "--resume"]
    assert run("-o", tmp_path / "undisturbed", *words).wait() == 0
    expected = {name: sha256_tree(tmp_path / "undisturbed" / name) for name in names}
    chance = random.Random(7)
    kills = 0
    for number in range(3):
        folder = tmp_path / str(number)
        for _ in range(4):
            wanted = files_in(folder) + chance.randint(1, 12)
            child = run("-o", folder, *words, seconds=0.02)
            ended = child.kill_when(partial(has_files, folder, wanted))
            kills += ended == -signal.SIGKILL
            for name in names:
                assert not (folder / name).exists() or sha256_tree(folder / name) == expected[name]
        child = run("-o", folder, *words)
        assert child.wait() == 0, child.log.read_text()
        assert {name: sha256_tree(folder / name) for name in names} == expected
        assert {path.name for path in folder.iterdir()} == {
            *names,
            "tissue.geojson.run",
            "tissue.report.html",
            *LEDGER,
        }
    assert kills


@needs_fork
def test_a_format_that_is_not_installed_is_answered_with_those_that_are(
    run: Callable[..., Child], tmp_path: Path
) -> None:
    child = run("-o", tmp_path, "--format", "geojson,parkett")
    assert child.wait() == 2
    assert (
        "Choose one of geojson, geojson.gz, csv, parquet, zarr, h5ad, spatialdata.zarr, ann.dcm, toy"
        in child.log.read_text()
    )
    assert not list(tmp_path.iterdir())


def pair(folder: Path) -> list[Path]:
    return [folder / "n.csv", folder / "n.geojson"]


def test_formats_do_not_change_each_other(segment: Segment, slide: Path, tmp_path: Path) -> None:
    alone = [segment(slide, path).output for path in pair(tmp_path / "alone")]
    both = segment(slide, pair(tmp_path / "both"))
    assert [path.name for path in both.outputs] == ["n.geojson", "n.csv"]
    assert both.output == tmp_path / "both" / "n.geojson"
    for path in alone:
        assert path.read_bytes() == (tmp_path / "both" / path.name).read_bytes()
    manifests = [(run_path(path) / "manifest.json").read_bytes() for path in (*alone, both.output)]
    assert len({*manifests}) == 1


def test_finished_outputs_are_kept_in_any_order(segment: Segment, slide: Path, tmp_path: Path) -> None:
    first = segment(slide, pair(tmp_path))
    before = [path.stat().st_mtime_ns for path in pair(tmp_path)]
    assert segment(slide, pair(tmp_path), resume=True) == first
    assert segment(slide, pair(tmp_path)[::-1], resume=True) == first
    assert segment(slide, tmp_path / "n.geojson", resume=True).outputs == {
        tmp_path / "n.geojson": first.sha256
    }
    assert [path.stat().st_mtime_ns for path in pair(tmp_path)] == before


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_output_is_made_again(segment: Segment, slide: Path, tmp_path: Path, lost: int) -> None:
    hashes = segment(slide, pair(tmp_path)).outputs
    pair(tmp_path)[lost].unlink()
    assert segment(slide, pair(tmp_path), resume=True).outputs == hashes
    assert all(sha256_tree(path) == sha256 for path, sha256 in hashes.items())


def test_a_format_is_added_later(segment: Segment, slide: Path, tmp_path: Path) -> None:
    table, outlines = pair(tmp_path)
    segment(slide, outlines)
    assert len(segment(slide, [outlines, table], resume=True).outputs) == 2
    assert segment(slide, outlines, resume=True).output == outlines
    table.unlink()
    table.write_text("somebody's work")
    with pytest.raises(OutputExists, match="was changed"):
        segment(slide, [outlines, table], resume=True)
    assert table.read_text() == "somebody's work"


def test_somebodys_file_is_not_taken_for_a_format_to_add(
    segment: Segment, slide: Path, tmp_path: Path
) -> None:
    table, outlines = pair(tmp_path)
    segment(slide, outlines)
    table.write_text("somebody's work")
    with pytest.raises(OutputExists, match="the run did not write it"):
        segment(slide, [outlines, table], resume=True)
    assert table.read_text() == "somebody's work"


@contextmanager
def interrupted(path: Path, context: ExportContext) -> Iterator[WriteNuclei]:
    with EXPORTERS.get("csv").opener(path, context) as write:
        yield write
    os.kill(os.getpid(), signal.SIGTERM)
    raise KeyboardInterrupt


def test_stopped_between_two_formats_both_are_made_on_resume(
    segment: Segment, slide: Path, tmp_path: Path
) -> None:
    expected = segment(slide, pair(tmp_path / "undisturbed")).outputs
    chosen = {"csv": Exporter(interrupted), "geojson": EXPORTERS.get("geojson")}
    with pytest.raises((KeyboardInterrupt, Stopped)):
        segment(slide, pair(tmp_path), steps=Steps(exporter=chosen.__getitem__))
    assert not any(path.exists() for path in pair(tmp_path))
    found = segment(slide, pair(tmp_path), resume=True).outputs
    assert [*found.values()] == [*expected.values()]


def test_folders_that_no_run_made_are_spared(segment: Segment, slide: Path, tmp_path: Path) -> None:
    mine = tmp_path / "n.csv" / "mine"
    mine.parent.mkdir()
    mine.write_text("work")
    as_folder = Steps(exporter=lambda _: Exporter(EXPORTERS.get("csv").opener, is_folder=True))
    for steps, message in ((Steps(), "a folder has"), (as_folder, "the run that would have made it")):
        with pytest.raises(OutputExists, match=message):
            segment(slide, tmp_path / "n.csv", overwrite=True, steps=steps)
    (tmp_path / "o.csv").write_text("work")
    with pytest.raises(OutputExists, match="a file has"):
        segment(slide, tmp_path / "o.csv", overwrite=True, steps=as_folder)
    assert mine.read_text() == (tmp_path / "o.csv").read_text() == "work"


def test_where_outputs_go(tmp_path: Path) -> None:
    a, b = Path("x/a.svs"), Path("y/b.svs")

    def names(*words: object) -> list[list[str]]:
        return [[path.name for path in paths] for paths in outputs(*words).values()]  # type: ignore[arg-type]

    assert names([a, b], tmp_path) == [["a.geojson"], ["b.geojson"]]
    assert names([a, b], tmp_path, ["csv", "geojson.gz"]) == [
        ["a.geojson.gz", "a.csv"],
        ["b.geojson.gz", "b.csv"],
    ]
    assert names([a], tmp_path / "n.csv") == [["n.csv"]]
    assert names([a], tmp_path / "n.1.csv", ["csv", "geojson"]) == [["n.1.geojson", "n.1.csv"]]
    for words, message in (
        (([a, b], tmp_path / "n.csv"), "2 slides cannot go into one file"),
        (([a], tmp_path / "n.csv", ["geojson"]), "geojson contradict the file's name. Add csv"),
        (([a], tmp_path / "n.json"), "must end in .geojson, .geojson.gz, .csv, .parquet, .zarr, .h5ad"),
        (([a], tmp_path / "n.dcm"), ".spatialdata.zarr or .ann.dcm"),
        (([a], tmp_path, ["xml"]), "no format 'xml'"),
        (([a, Path("z/a.tif")], tmp_path), "two slides of this name"),
    ):
        with pytest.raises(UsageError, match=message):
            outputs(*words)


def test_outputs_of_one_slide_have_one_format_each(tmp_path: Path) -> None:
    assert [*ordered(pair(tmp_path))] == pair(tmp_path)[::-1]
    with pytest.raises(UsageError, match="two outputs of one format"):
        ordered([tmp_path / "a.csv", tmp_path / "b.csv"])
    with pytest.raises(UsageError, match="no output"):
        ordered([])
    with pytest.raises(UsageError, match="must end in"):
        ordered([tmp_path / "a.txt"])


def test_the_summary_names_every_output(segment: Segment, slide: Path, tmp_path: Path) -> None:
    summary = segment(slide, pair(tmp_path))
    kept = json.loads((run_path(summary.output) / "summary.json").read_text())
    assert kept["outputs"] == {path.name: sha256 for path, sha256 in summary.outputs.items()}
