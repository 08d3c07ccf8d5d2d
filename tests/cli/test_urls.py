"""Slides that the command line is given by URL."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import fsspec
import geojson
import pytest

from tests.cli.commands import Ended

Cli = Callable[..., Ended]


@pytest.fixture
def url(slide: Path) -> str:
    """The small slide in fsspec's memory."""
    where = "memory://bucket/a slide.tif"
    with fsspec.open(where, "wb") as file:
        file.write(slide.read_bytes())
    return where


def test_info(cli: Cli, slide: Path, url: str) -> None:
    here, there = (json.loads(cli("info", place, "--json").out) for place in (slide, url))
    assert there["path"] == url
    assert there["reader"] == "tiff"
    assert {**there, "path": ""} == {**here, "path": ""}


def test_segment_names_outputs_by_stem(
    cli: Cli, slide: Path, url: str, weights: Path, tmp_path: Path
) -> None:
    ended = cli("segment", slide, url, "-o", tmp_path, "--model", weights)
    assert ended.code == 0, ended.err
    assert "a slide.tif: " in ended.out
    here, there = (
        geojson.loads((tmp_path / f"{stem}.geojson").read_text()) for stem in (slide.stem, "a_slide")
    )
    assert len(there["features"]) > 0
    assert there["features"] == here["features"]


def test_tile(cli: Cli, url: str, tmp_path: Path) -> None:
    ended = cli("tile", url, "-o", tmp_path, "--tile-size", 300)
    assert ended.code == 0, ended.err
    assert (tmp_path / "a_slide.zarr" / "zarr.json").is_file()


@pytest.mark.parametrize("command", ["info", "segment", "tile", "pretrain"])
def test_what_is_not_there_is_named_as_it_was_given(
    cli: Cli, command: str, weights: Path, tmp_path: Path
) -> None:
    options = {"info": [], "segment": ["-o", tmp_path, "--model", weights]}
    ended = cli(command, "memory://bucket/none.svs", *options.get(command, ["-o", tmp_path / "out"]))
    assert ended.code == 4
    assert ended.err.startswith("error: memory://bucket/none.svs: it is not there or cannot be reached")


def test_a_reader_that_takes_local_files_alone(cli: Cli, url: str) -> None:
    ended = cli("info", url, "--reader", "openslide")
    assert ended.code == 4
    assert "the reader openslide takes local files alone. Download it first, or leave" in ended.err
    assert "--reader auto" in ended.err


def test_readers_in_help_and_in_errors_are_those_of_the_registry(cli: Cli, slide: Path) -> None:
    said = " ".join(cli("info", "--help").out.split())
    assert "auto, tiff, openslide, tiffslide, image, or one that an installed package adds" in said
    ended = cli("info", slide, "--reader", "bioformats")
    assert ended.code == 2
    assert "Choose one of auto, tiff, openslide, tiffslide, image" in ended.err


@pytest.mark.parametrize(
    "line",
    [
        "info SLIDE --thumbnail URL",
        "overlay SLIDE URL -o o.png",
        "overlay SLIDE n.geojson -o URL",
        "export URL -o n.csv",
        "export n.geojson -o URL",
        "propose SLIDE -o URL",
        "finetune URL -o run",
        "finetune data data -o URL",
        "benchmark data URL -o scores",
        "verify n.geojson URL",
        "view SLIDE URL",
        "models URL",
        "segment SLIDE -o n.geojson --write-tissue URL",
    ],
)
def test_where_only_a_path_will_do_a_url_is_refused(
    line: str, cli: Cli, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli(*({"SLIDE": slide, "URL": "s3://bucket/x.png"}.get(word, word) for word in line.split()))
    assert ended.code == 2
    assert "s3://bucket/x.png is a URL" in ended.err
    assert not [*tmp_path.iterdir()]
