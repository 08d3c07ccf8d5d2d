"""What people do with the commands, their mistakes included: an exit code, a message that helps, never a traceback."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import geojson
import pytest
import typer

from tests.cli.commands import SAMPLE, Ended
from tests.pictures import read_rgb
from tests.segment import fakes
from wsi_nucssl import __version__
from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.slide import RGB
from wsi_nucssl_cli.app import app

Cli = Callable[..., Ended]
ROOT = SAMPLE.parent.parent
RUN = "import sys; from wsi_nucssl_cli.app import main; main()"


def in_a_process(code: str, *argv: object) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "cli")])
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, argv)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )


def commands() -> Mapping[str, Any]:
    """Each command, by its name."""
    return typer.main.get_command(app).commands  # type: ignore[attr-defined, no-any-return]


def with_a_model_by_default() -> list[str]:
    """Commands that take a model, and go without being told one; those of `verify` are any."""
    takes = [n for n, each in commands().items() for p in each.params if p.name == "model" and not p.required]
    return [name for name in takes if name != "verify"]


def test_which_commands_have_a_default_model() -> None:
    assert with_a_model_by_default() == ["plan", "segment", "propose", "benchmark"]


@pytest.mark.parametrize("command", with_a_model_by_default())
def test_help_names_the_default_model(cli: Cli, command: str) -> None:
    said = " ".join(cli(command, "--help").out.split())
    assert re.search(rf"--model <\S+>(?: [^-]\S*)+ \[default: \({DEFAULT_MODEL}\b", said)


@pytest.mark.parametrize("command", commands())
def test_help_fits_80_columns_and_cuts_no_option(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = cli(command, "--help").out
    assert max(map(len, said.splitlines())) <= 80
    flags = [flag for each in commands()[command].params if not each.hidden for flag in each.opts]
    assert [flag for flag in flags if flag.startswith("-") and flag not in re.split(r"[\s,]+", said)] == []


def test_a_command_is_built_alone_and_looks_the_same(cli: Cli) -> None:
    alone = cli("view", "--help")
    assert alone.code == 0
    assert " view [OPTIONS]" in alone.out
    assert "Did you mean 'view'" in cli("viw").err
    assert cli("--help").out.count("\n  view ") == 1
    assert "segment" in cli("--help").out  # all the others are still there


def test_help_says_of_each_command_what_it_does_in_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = cli("--help").out
    assert [
        name for name in commands() if not re.search(rf"^  {name} +[A-Z].*[^.]\.$", said, re.MULTILINE)
    ] == []


@pytest.mark.parametrize("argv", [["--help"], ["segment", "--help"], ["--version"]])
def test_help_comes_at_once(argv: list[str]) -> None:
    code = (
        "import sys; from wsi_nucssl_cli.app import main\ntry: main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'cv2', 'zarr', 'openslide', 'openvino', 'numba'} & {*sys.modules}))"
    )
    said = in_a_process(code, *argv)
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[-1] == "[]"


def test_version_and_bare_command(cli: Cli) -> None:
    assert cli("--version") == Ended(0, f"{__version__}\n", "")
    bare = cli()
    assert "segment" in bare.out + bare.err


@pytest.mark.parametrize(
    "argv",
    [
        ["nonsense"],
        ["segment"],
        ["segment", "a.svs"],
        ["segment", "a.svs", "-o", "x.geojson", "--nonsense"],
        ["segment", "a.svs", "-o", "x.geojson", "--origin", "elsewhere"],
        ["segment", "a.svs", "-o", "x.geojson", "--workers", "0"],
        ["segment", "a.svs", "-o", "x.geojson", "--batch-size", "0"],
        ["segment", "a.svs", "-o", "x.geojson", "--tta", "3"],
        ["segment", "a.svs", "-o", "x.geojson", "--format", "geojson.gz"],
        ["segment", "a.svs", "b.svs", "-o", "x.geojson"],
        ["segment", "a.svs", "-o", "x.json"],
        ["segment", "a.svs", "-o", "x", "--shard", "0/4"],
        ["segment", "a.svs", "-o", "x", "--shard", "5/4"],
        ["tile", "a.svs", "-o", "x", "--shard", "two"],
        ["segment", "a.svs", "-o", "x.geojson", "--shard", "1/4"],
        ["segment", "a.svs", "-o", "x", "--retry-failed"],
        ["tile", "a.svs", "-o", "x", "--codec", "zip"],
        ["tile", "a.svs", "-o", "x", "--tile-size", "0"],
        ["tile", "a.svs", "-o", "x", "--mpp", "-1"],
    ],
)
def test_wrong_calls(cli: Cli, argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli(*argv)
    assert ended.code == 2
    assert ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mpp", ["0", "-0.25", "nan", "inf"])
def test_resolutions_that_are_none(cli: Cli, slide: Path, weights: Path, tmp_path: Path, mpp: str) -> None:
    output = tmp_path / "x.geojson"
    assert cli("segment", slide, "-o", output, "--model", weights, "--mpp", mpp).code == 2
    assert cli("info", slide, "--mpp", mpp).code == 2


def test_a_file_that_is_no_slide(cli: Cli, bad: Path, weights: Path, tmp_path: Path) -> None:
    commands = [
        ["segment", bad, "-o", tmp_path / "n.geojson", "--model", weights],
        ["tile", bad, "-o", tmp_path / "tiles"],
    ]
    for command in commands:
        ended = cli(*command)
        assert ended.code == 4, command
        assert ended.err.startswith("error: ")
        assert str(bad) in ended.err
    assert not (tmp_path / "n.geojson").exists()


@pytest.mark.parametrize("command", ["segment", "tile"])
def test_one_bad_slide_does_not_stop_the_others(
    cli: Cli, slide: Path, pixels: RGB, bad: Path, weights: Path, tmp_path: Path, command: str
) -> None:
    other = fakes.write_slide(tmp_path / "other.tif", pixels[::-1])
    model = ["--model", weights] if command == "segment" else []
    ended = cli(command, slide, bad, other, "-o", tmp_path / "out", *model)
    assert ended.code == 3
    assert "1 of 3 slides failed:\n  " in ended.err
    assert str(bad) in ended.err.splitlines()[-1]
    suffix = ".geojson" if command == "segment" else ".zarr"
    written = {path.name for path in (tmp_path / "out").glob(f"*{suffix}")}
    assert {f"tissue{suffix}", f"other{suffix}"} <= written
    assert command == "tile" or f"bad{suffix}" not in written


def test_a_slide_without_resolution(cli: Cli, png: Path, weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "n.geojson"
    words = ["segment", png, "-o", output, "--model", weights]
    refused = cli(*words)
    assert refused.code == 4
    assert "--mpp" in refused.err
    assert not output.exists()
    assert cli(*words, "--mpp", 0.25).code == 0
    assert len(json.loads(output.read_text())["features"]) > 50
    tiles = cli("tile", png, "-o", tmp_path / "tiles")
    assert tiles.code == 4
    assert "--slide-mpp" in tiles.err


def test_a_real_slide_without_resolution(cli: Cli, tcga_slide: Path, weights: Path, tmp_path: Path) -> None:
    ended = cli("segment", tcga_slide, "-o", tmp_path / "n.geojson", "--model", weights)
    assert ended.code == 4
    assert "--mpp" in ended.err
    assert cli("info", tcga_slide).code == 0


def test_what_segment_says(cli: Cli, slide: Path, weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "n.geojson"
    words = ["segment", slide, "-o", output, "--model", weights]
    ended = cli(*words)
    assert ended.code == 0
    count = len(json.loads(output.read_text())["features"])
    for said in (f"{count} nuclei", "/mm²", " s\n", str(output), "cross a seam"):
        assert said in ended.out
    refused = cli(*words)
    assert refused.code == 5
    assert "--overwrite" in refused.err
    assert cli(*words, "--resume").code == 0
    assert cli(*words, "--resume", "--overwrite").code == 2
    mismatch = cli(*words, "--resume", "--origin", "level0")
    assert mismatch.code == 5
    assert "origin: was 'qupath', now 'level0'" in mismatch.err


def test_quiet_is_silent(cli: Cli, slide: Path, weights: Path, tmp_path: Path) -> None:
    segmented = cli("segment", slide, "-o", tmp_path / "n.geojson", "--model", weights, "--quiet")
    assert segmented == Ended(0, "", "")
    assert cli("tile", slide, "-o", tmp_path / "tiles", "--quiet") == Ended(0, "", "")


def test_several_slides_into_a_folder(
    cli: Cli, slide: Path, glass: Path, weights: Path, tmp_path: Path
) -> None:
    ended = cli("segment", slide, glass, "-o", tmp_path, "--model", weights, "--format", "geojson.gz")
    assert ended.code == 0
    counts = [
        len(json.loads(gzip.decompress((tmp_path / f"{name}.geojson.gz").read_bytes()))["features"])
        for name in ("tissue", "glass")
    ]
    assert counts[0] > 50
    assert counts[1] == 0


def test_an_empty_slide_gives_an_empty_collection(
    cli: Cli, glass: Path, weights: Path, tmp_path: Path
) -> None:
    output = tmp_path / "n.geojson"
    ended = cli("segment", glass, "-o", output, "--model", weights, "-v")
    assert ended.code == 0
    assert "0 nuclei" in ended.out
    collection = geojson.loads(output.read_text())
    assert collection.is_valid
    assert collection["features"] == []
    assert cli("tile", glass, "-o", tmp_path / "tiles").code == 0
    assert cli("info", glass).code == 0


@pytest.mark.parametrize("name", ["a slide [red] ü.tif", "-dash.tif", "100% & more;.tif"])
def test_odd_names(
    cli: Cli, pixels: RGB, weights: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fakes.write_slide(tmp_path / name, pixels[:200, :200])
    ended = cli("segment", "-o", "out", "--model", weights, "--", name)
    assert ended.code == 0
    assert f"{name}: " in ended.out
    assert len(list(Path("out").glob("*.geojson"))) == 1
    missing = cli("segment", "-o", "out", "--model", weights, "--", f"no {name}")
    assert missing.code == 4
    assert f"no {name}" in missing.err


def test_places_that_take_no_output(cli: Cli, slide: Path, weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    model = ["--model", weights]
    assert cli("segment", slide, "-o", file / "n.geojson", *model).code == 5
    assert cli("segment", slide, "-o", file, *model).code == 5
    assert cli("tile", slide, "-o", file).code == 5
    assert cli("info", slide, "--thumbnail", file / "t.png").code == 5
    folder = tmp_path / "n.geojson"
    folder.mkdir()
    assert cli("segment", slide, "-o", folder, *model, "--overwrite").code == 5
    assert file.read_text() == "mine"


class Exhausted(fakes.DarkIsNucleus):
    """An engine for which memory does not suffice."""

    def predict(self, _: Windows) -> BodyBoundary:
        raise MemoryError


def test_memory_that_runs_out(cli: Cli, slide: Path, weights: Path, tmp_path: Path) -> None:
    words = ["segment", slide, "-o", tmp_path / "n.geojson", "--model", weights]
    ended = cli(*words, engine=Exhausted())
    assert ended.code == 6
    assert "--batch-size" in ended.err
    assert not (tmp_path / "n.geojson").exists()


def test_models_that_are_none(cli: Cli, slide: Path, tmp_path: Path) -> None:
    text = tmp_path / "model.safetensors"
    text.write_text("no weights")
    for model in ("nonsense", text, tmp_path):
        ended = cli("segment", slide, "-o", tmp_path / "n.geojson", "--model", model)
        assert ended.code == 4
        assert str(model) in ended.err


def test_info(cli: Cli, tmp_path: Path) -> None:
    table = cli("info", SAMPLE)
    assert table.code == 0
    for said in ("aperio", "3000 × 2400", "0.25", "mm²"):
        assert said in table.out
    facts = json.loads(cli("info", SAMPLE, "--json").out)
    assert (facts["width"], facts["height"], facts["mpp_x"]) == (3000, 2400, 0.25)
    thumbnail = tmp_path / "new" / "thumbnail.png"
    assert cli("info", SAMPLE, "--thumbnail", thumbnail).code == 0
    assert read_rgb(thumbnail).std() > 10


def test_info_of_what_is_no_slide(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "text.svs").write_text("Dear colleague")
    for path in (tmp_path / "missing.svs", tmp_path, tmp_path / "text.svs"):
        ended = cli("info", path)
        assert ended.code == 4
        assert str(path) in ended.err


def test_info_knows_when_it_does_not_know(cli: Cli, png: Path) -> None:
    assert "unknown: give --mpp" in cli("info", png).out
    facts = json.loads(cli("info", png, "--json").out)
    assert facts["mpp_x"] is None
    assert json.loads(cli("info", png, "--json", "--mpp", 0.5).out)["mpp_source"] == "given"


def test_with_the_bundled_model(tmp_path: Path, png: Path) -> None:
    output = tmp_path / "n.geojson"
    ended = in_a_process(RUN, "segment", png, "-o", output, "--mpp", 0.25, "--device", "cpu", "-q")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert len(json.loads(output.read_text())["features"]) > 30


@pytest.mark.parametrize("more", [[], ["-q"]])
def test_a_terminal_is_told_at_once_what_runs(more: list[str], tmp_path: Path) -> None:
    screen, terminal = pty.openpty()
    paths = [tmp_path / "missing.svs", "-o", tmp_path / "n.geojson"]
    command = [sys.executable, "-c", RUN, "segment", *map(str, paths)]
    said = b""
    with subprocess.Popen([*command, *more], stderr=terminal):
        os.close(terminal)
        with contextlib.suppress(OSError):  # the other end is closed
            while text := os.read(screen, 1000):
                said += text
    os.close(screen)
    assert said.decode().startswith(f"wsi-nucssl {__version__} segment …") == (not more)
    assert "missing.svs" in said.decode()
