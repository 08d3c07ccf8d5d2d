"""`export`: a result in other formats, and never in the place of something else."""

from __future__ import annotations

import csv
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import anndata
import geopandas
import numpy as np
import orjson
import pytest
import zarr

import wsi_nucssl
from tests.cli.commands import SAMPLE, Ended
from tests.export.dicom_slide import write_dicom_slide
from tests.segment import fakes
from wsi_nucssl.geometry import Box
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.run import segment_slide
from wsi_nucssl.slide import open_slide

FORMATS = ("geojson", "geojson.gz", "csv", "parquet", "zarr", "h5ad", "spatialdata.zarr")


SHAPES = "n.spatialdata.zarr/shapes/nuclei/shapes.parquet"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that wrote every format."""
    folder = tmp_path_factory.mktemp("run")
    outputs = [folder / f"n.{name}" for name in FORMATS]
    segment_slide(SAMPLE, outputs, fakes.model(), SegmentOptions(), engine=fakes.DarkIsNucleus())
    return folder


@pytest.mark.parametrize("source", ["n.geojson", "n.geojson.gz", "n.parquet", "n.h5ad", "n.spatialdata.zarr"])
def test_every_format_of_every_file(
    cli: Callable[..., Ended], run: Path, tmp_path: Path, source: str
) -> None:
    formats = "geojson,geojson.gz,csv,parquet,labels,anndata,spatialdata"
    ended = cli("export", run / source, "-o", tmp_path, "--format", formats)
    assert ended.code == 0
    features = orjson.loads((run / "n.geojson").read_bytes())["features"]
    assert f"{len(features)} nuclei" in ended.out
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"n.{name}" for name in FORMATS)
    for name in ("n.geojson", "n.geojson.gz"):
        assert (tmp_path / name).read_bytes() == (run / name).read_bytes()
    ids = [feature["id"] for feature in features]
    assert geopandas.read_parquet(tmp_path / "n.parquet").id.tolist() == ids
    assert [row["id"] for row in csv.DictReader((tmp_path / "n.csv").read_text().splitlines())] == ids
    for folder in (run, tmp_path):
        assert [*anndata.read_h5ad(folder / "n.h5ad").obs_names] == ids
    assert geopandas.read_parquet(tmp_path / SHAPES).index.tolist() == ids
    assert (tmp_path / SHAPES).read_bytes() == (run / SHAPES).read_bytes()
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
    for name in ("o.csv", "o.zarr", "o.spatialdata.zarr"):
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
        (4, "a .csv file of ours holds no outlines", [run / "n.csv", "-o", tmp_path / "n.geojson"]),
        (4, "a .zarr file of ours holds no measurements", [run / "n.zarr", "-o", tmp_path / "n.geojson"]),
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


@pytest.fixture(scope="module")
def dicom_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DICOM slide of the sample's tissue; the file is that of its finest level."""
    pytest.importorskip("highdicom", reason="DICOM annotations need highdicom")
    with open_slide(SAMPLE) as slide:
        image = slide.read_level(0, Box(1000, 1000, 1700, 1500))
    return write_dicom_slide(tmp_path_factory.mktemp("dicom"), image, 0.25).with_name("level0.dcm")


def test_a_dicom_slide_and_its_annotations(
    cli: Callable[..., Ended], dicom_slide: Path, weights: Path, tmp_path: Path
) -> None:
    """Written beside the others in one pass, read, verified, and made of any of them, given the slide."""
    formats = ("--format", "geojson,dicom", "--model", weights)
    ended = cli("segment", dicom_slide, "-o", tmp_path, *formats)
    assert ended.code == 0, ended.err
    written = tmp_path / "level0.ann.dcm"
    count = len(orjson.loads((tmp_path / "level0.geojson").read_bytes())["features"])
    assert count > 50
    result = wsi_nucssl.read_nuclei(written, slide=dicom_slide)
    assert [*result.ids] == [*wsi_nucssl.read_nuclei(tmp_path / "level0.geojson").ids]
    assert cli("verify", tmp_path, "--slide", dicom_slide).code == 0
    (tmp_path / "again").mkdir()
    again = tmp_path / "again" / "n.ann.dcm"
    assert cli("export", tmp_path / "level0.geojson", "-o", again).code == 2
    assert cli("export", tmp_path / "level0.geojson", "-o", again, "--slide", dicom_slide).code == 0
    assert again.read_bytes() == written.read_bytes()
    back = tmp_path / "again" / "n.geojson"
    assert cli("export", written, "-o", back).code == 0
    assert back.read_bytes() == (tmp_path / "level0.geojson").read_bytes()
    written.unlink()
    assert cli("verify", tmp_path, "--slide", dicom_slide, "--repair").code == 0
    assert written.read_bytes() == again.read_bytes()
    ended = cli("export", tmp_path / "level0.geojson", "-o", tmp_path / "x.ann.dcm", "--slide", SAMPLE)
    assert ended.code == 2
    assert "sample.svs: DICOM annotations are for DICOM slides, and this is none" in ended.err


def test_formats_that_cannot_be_are_refused_before_anything_runs(
    cli: Callable[..., Ended], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slide that is not of DICOM among many, and a format whose package is missing."""
    out = tmp_path / "out"
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.delitem(sys.modules, "wsi_nucssl.export.anndata", raising=False)
    ended = cli("segment", SAMPLE, "-o", out, "--format", "geojson,anndata", "--model", weights)
    assert ended.code == 2
    assert "pip install 'wsi-nucssl[anndata]'" in ended.err
    pytest.importorskip("highdicom", reason="DICOM annotations need highdicom")
    ended = cli("segment", SAMPLE, "-o", out, "--format", "geojson,dicom", "--model", weights)
    assert ended.code == 2
    assert "sample.svs: DICOM annotations are for DICOM slides, and this is none" in ended.err
    assert not out.exists()
