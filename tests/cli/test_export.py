"""`export`: a result in other formats, and never in the place of something else."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import orjson
import pytest
import zarr

import wsi_nucssl
from tests.cli.commands import SAMPLE, Ended
from tests.segment import fakes
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.run import segment_slide

FORMATS = ("geojson", "geojson.gz", "csv", "parquet", "zarr")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that wrote every format."""
    folder = tmp_path_factory.mktemp("run")
    outputs = [folder / f"n.{name}" for name in FORMATS]
    segment_slide(SAMPLE, outputs, fakes.model(), SegmentOptions(), engine=fakes.DarkIsNucleus())
    return folder


@pytest.mark.parametrize("source", ["n.geojson", "n.geojson.gz", "n.parquet"])
def test_every_format_of_every_file(
    cli: Callable[..., Ended], run: Path, tmp_path: Path, source: str
) -> None:
    ended = cli("export", run / source, "-o", tmp_path, "--format", "geojson,geojson.gz,csv,parquet,labels")
    assert ended.code == 0
    features = orjson.loads((run / "n.geojson").read_bytes())["features"]
    assert f"{len(features)} nuclei" in ended.out
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"n.{name}" for name in FORMATS)
    for name in ("n.geojson", "n.geojson.gz"):
        assert (tmp_path / name).read_bytes() == (run / name).read_bytes()
    ids = [feature["id"] for feature in features]
    assert geopandas.read_parquet(tmp_path / "n.parquet").id.tolist() == ids
    assert [row["id"] for row in csv.DictReader((tmp_path / "n.csv").read_text().splitlines())] == ids
    there, here = (np.asarray(zarr.open_array(f / "n.zarr/labels/nuclei/0")[:]) for f in (run, tmp_path))
    np.testing.assert_array_equal(here, there[: here.shape[0], : here.shape[1]])
    assert there.max() == here.max() == len(features)


def test_by_the_outputs_name(cli: Callable[..., Ended], run: Path, tmp_path: Path) -> None:
    assert cli("export", run / "n.parquet", "-o", tmp_path / "o.csv", "-q").out == ""
    assert wsi_nucssl.export(run / "n.parquet", str(tmp_path / "p.csv")) > 50
    assert (tmp_path / "o.csv").read_bytes() == (tmp_path / "p.csv").read_bytes()


def test_what_is_there_stays_unless_it_is_ours_and_to_be_replaced(
    cli: Callable[..., Ended], run: Path, tmp_path: Path
) -> None:
    source = run / "n.geojson"
    for name in ("o.csv", "o.zarr"):
        assert cli("export", source, "-o", tmp_path / name).code == 0
        again = cli("export", source, "-o", tmp_path / name)
        assert again.code == 5
        assert "--overwrite" in again.err
        assert cli("export", source, "-o", tmp_path / name, "--overwrite").code == 0
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "thesis.txt").write_text("three years")
    (tmp_path / "mine.csv").mkdir()
    (tmp_path / "file.zarr").write_text("a file")
    for name in ("mine.zarr", "mine.csv", "file.zarr"):
        ended = cli("export", source, "-o", tmp_path / name, "--overwrite")
        assert ended.code == 5, name
        assert name in ended.err
    assert (tmp_path / "mine.zarr" / "thesis.txt").read_text() == "three years"
    assert (tmp_path / "file.zarr").read_text() == "a file"


def test_an_output_is_never_its_input(cli: Callable[..., Ended], run: Path, tmp_path: Path) -> None:
    source = Path(shutil.copy(run / "n.geojson", tmp_path / "n.geojson"))
    (tmp_path / "link.geojson").symlink_to(source)
    before = source.read_bytes()
    for output in (source, tmp_path / "link.geojson", tmp_path / "." / "n.geojson"):
        ended = cli("export", source, "-o", output, "--overwrite")
        assert ended.code == 5
        assert "is an input of this job" in ended.err
    ended = cli("export", source, "-o", tmp_path, "--format", "csv,geojson", "--overwrite")
    assert ended.code == 5
    assert not (tmp_path / "n.csv").exists()
    assert source.read_bytes() == before


def _as_it_is(path: Path) -> tuple[int, ...]:
    """What only a change changes; not the time at which somebody looked."""
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns


def test_links_pipes_and_protected_files_stay_even_with_overwrite(
    cli: Callable[..., Ended], run: Path, tmp_path: Path
) -> None:
    (tmp_path / "real").write_text("three years")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "protected.csv").write_text("three years")
    (tmp_path / "protected.csv").chmod(0o444)
    for name in ("link.csv", "pipe.csv", "protected.csv"):
        before = _as_it_is(tmp_path / name)
        ended = cli("export", run / "n.geojson", "-o", tmp_path / name, "--overwrite")
        assert ended.code == 5, name
        assert name in ended.err
        assert _as_it_is(tmp_path / name) == before
    assert (tmp_path / "real").read_text() == "three years"


def test_small_and_uncertain_nuclei_are_left_out(
    cli: Callable[..., Ended], run: Path, weights: Path, tmp_path: Path
) -> None:
    """By what the file itself shows, whether a run or export leaves them out."""
    everything = list(csv.DictReader((run / "n.csv").read_text().splitlines()))
    least = sorted(float(row["area_um2"]) for row in everything)[len(everything) // 3]
    sure = sorted(float(row["probability"]) for row in everything)[len(everything) // 4]
    limits = ("--min-area", least, "--min-probability", sure)
    expected = [
        row for row in everything if float(row["area_um2"]) >= least and float(row["probability"]) >= sure
    ]
    assert 0 < len(expected) < len(everything)
    exported, segmented = tmp_path / "e.csv", tmp_path / "s.csv"
    assert cli("export", run / "n.parquet", "-o", exported, *limits).code == 0
    ended = cli("segment", SAMPLE, "-o", segmented, "--model", weights, *limits)
    assert ended.code == 0
    assert f"{len(expected)} nuclei" in ended.out
    for path in (exported, segmented):
        assert [row["id"] for row in csv.DictReader(path.read_text().splitlines())] == [
            row["id"] for row in expected
        ]
    assert cli("export", run / "n.parquet", "-o", tmp_path / "e.geojson", *limits).code == 0
    header = orjson.loads((tmp_path / "e.geojson").read_bytes())["wsi_nucssl"]
    assert (header["min_area_um2"], header["min_probability"]) == (least, sure)
    resumed = cli("segment", SAMPLE, "-o", segmented, "--model", weights, "--resume")
    assert resumed.code == 5


def test_calls_that_make_no_sense(cli: Callable[..., Ended], run: Path, tmp_path: Path) -> None:
    source = run / "n.geojson"
    for code, words, argv in (
        (2, "Add --format", [source, "-o", tmp_path / "folder"]),
        (2, "Choose one of geojson", [source, "-o", tmp_path, "--format", "excel"]),
        (2, "must end in", [source, "-o", tmp_path / "n.json", "--format", "csv"]),
        (2, "--min-area must be", [source, "-o", tmp_path / "n.csv", "--min-area", -1]),
        (2, "--min-probability must be", [source, "-o", tmp_path / "n.csv", "--min-probability", "nan"]),
        (4, "there is no such file", [tmp_path / "none.geojson", "-o", tmp_path / "n.csv"]),
        (4, "nuclei with outlines", [run / "n.csv", "-o", tmp_path / "n.geojson"]),
        (4, "nuclei with outlines", [run / "n.zarr", "-o", tmp_path / "n.geojson"]),
    ):
        ended = cli("export", *argv)
        assert ended.code == code, argv
        assert words in ended.err
    assert not [*tmp_path.iterdir()]


def test_a_file_that_ends_in_the_middle_leaves_nothing(
    cli: Callable[..., Ended], run: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "n.geojson"
    broken.write_bytes((run / "n.geojson").read_bytes()[:-2000])
    ended = cli("export", broken, "-o", tmp_path, "--format", "csv,parquet,labels")
    assert ended.code == 4
    assert "n.geojson" in ended.err
    assert [*tmp_path.iterdir()] == [broken]
