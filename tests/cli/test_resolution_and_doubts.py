"""`--mpp`, `--force-mpp`, `--slides` and `--strict`, as people type them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import SAMPLE, Ended
from tests.segment import fakes
from wsi_nucssl.geometry import Box
from wsi_nucssl.slide import open_slide

Cli = Callable[..., Ended]


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tissue at 0.25 and at 8 µm per px, and glass."""
    folder = tmp_path_factory.mktemp("slides")
    with open_slide(SAMPLE) as slide:
        tissue = slide.read_level(0, Box(500, 500, 1100, 1000))
    fakes.write_slide(folder / "tissue.tif", tissue)
    fakes.write_slide(folder / "coarse.tif", tissue, mpp=8)
    fakes.write_slide(folder / "medium.tif", tissue, mpp=1)
    fakes.write_slide(folder / "glass.tif", np.full((500, 600, 3), 240, np.uint8))
    return folder


def _header(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_bytes())["wsi_nucssl"]
    return found


def test_a_contradicting_mpp_is_refused_by_each_command(
    cli: Cli, slides: Path, weights: Path, tmp_path: Path
) -> None:
    slide = slides / "tissue.tif"
    for words in (
        ("segment", slide, "-o", tmp_path / "a.geojson", "--model", weights, "--mpp", 0.5),
        ("info", slide, "--mpp", 0.5),
        ("tile", slide, "-o", tmp_path / "tiles", "--slide-mpp", 0.5),
    ):
        refused = cli(*words)
        assert refused.code == 4
        assert "states 0.25 µm per px" in refused.err
        assert "0.5 is given" in refused.err
        assert "--force-mpp" in refused.err
        assert not list(tmp_path.rglob("*.geojson"))
    assert cli("info", slide, "--mpp", 0.252).code == 0
    forced = cli("info", slide, "--json", "--mpp", 0.5, "--force-mpp")
    assert json.loads(forced.out)["mpp_source"] == "forced"


def test_forcing_is_recorded(cli: Cli, slides: Path, weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.geojson"
    words = ("segment", slides / "tissue.tif", "-o", output, "--model", weights, "--mpp", 0.5, "--force-mpp")
    assert cli(*words).code == 0
    header = _header(output)
    assert (header["mpp_source"], header["force_mpp"], header["slide_mpp"]) == ("forced", True, [0.5, 0.5])
    manifest = json.loads((tmp_path / "a.geojson.run" / "manifest.json").read_text())
    assert "force_mpp" in json.dumps(manifest)


@pytest.mark.parametrize(
    ("name", "said"), [("coarse.tif", "states 8 µm per px"), ("medium.tif", "enlarged 4 times")]
)
def test_coarse_slides_are_questioned_before_any_work(
    cli: Cli, slides: Path, weights: Path, tmp_path: Path, name: str, said: str
) -> None:
    refused = cli("segment", slides / name, "-o", tmp_path / "a.geojson", "--model", weights)
    assert refused.code == 4
    assert said in refused.err
    assert "--force-mpp" in refused.err
    assert not list(tmp_path.iterdir())


def test_millimetres_are_noticed(cli: Cli, slides: Path, weights: Path, tmp_path: Path) -> None:
    words = ("segment", slides / "tissue.tif", "-o", tmp_path / "a.geojson", "--model", weights)
    for mpp, unit in ((0.00025, "mm"), (250, "nm"), (40, "a magnification")):
        refused = cli(*words, "--mpp", mpp)
        assert refused.code == 2
        assert f"it looks like {unit}, which would be 0.25 µm" in refused.err


def test_a_list_says_the_mpp_and_the_output_of_each(
    cli: Cli, slides: Path, weights: Path, tmp_path: Path
) -> None:
    silent = tmp_path / "scans" / "tissue.png"
    silent.parent.mkdir()
    from PIL import Image

    with open_slide(slides / "tissue.tif") as slide:
        Image.fromarray(slide.read_level(0, Box(0, 0, 600, 500))).save(silent)
    listed = tmp_path / "list.csv"
    listed.write_text(f"path,mpp,output\n{slides / 'tissue.tif'},,\nscans/tissue.png,0.5,patient_2\n")
    out = tmp_path / "out"
    ended = cli("segment", "--slides", listed, "-o", out, "--model", weights)
    assert ended.code == 0, ended.err
    assert _header(out / "tissue.geojson")["slide_mpp"] == [0.25, 0.25]
    assert _header(out / "patient_2.geojson")["slide_mpp"] == [0.5, 0.5]
    tiles = cli("tile", "--slides", listed, "-o", tmp_path / "tiles", "--tile-size", 256)
    assert tiles.code == 0, tiles.err
    assert {path.name for path in (tmp_path / "tiles").glob("*.zarr")} == {"tissue.zarr", "patient_2.zarr"}
    assert cli("segment", "-o", out, "--model", weights).code == 2
    listed.write_text(f"path,mpp\n{slides / 'tissue.tif'},0.5\n{slides / 'glass.tif'},\n")
    partly = cli("segment", "--slides", listed, "-o", tmp_path / "b", "--model", weights)
    assert partly.code == 3
    assert "states 0.25" in partly.err


def test_doubts_are_printed_and_strict_fails(cli: Cli, slides: Path, weights: Path, tmp_path: Path) -> None:
    glass, tissue = slides / "glass.tif", slides / "tissue.tif"
    lenient = cli("segment", glass, "-o", tmp_path / "a.geojson", "--model", weights, "-q")
    assert lenient.code == 0
    assert "warning: glass.tif: no tissue was found" in lenient.err
    strict = cli("segment", glass, "-o", tmp_path / "b.geojson", "--model", weights, "--strict")
    assert strict.code == 4
    assert "no tissue was found" in strict.err
    assert not (tmp_path / "b.geojson").exists()
    batch = cli("segment", glass, tissue, "-o", tmp_path / "out", "--model", weights, "--strict")
    assert batch.code == 3
    assert [path.name for path in (tmp_path / "out").glob("*.geojson")] == ["tissue.geojson"]
