"""`overlay` draws where the nuclei are; `pack` keeps what a model says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from tests.cli.commands import SAMPLE, Ended
from wsi_nucssl.geometry import Point, Size
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.slide import open_slide

RED = [200, 0, 0]
SQUARE = [[[1010.0, 1020.0], [1030.0, 1020.0], [1030.0, 1040.0], [1010.0, 1040.0], [1010.0, 1020.0]]]


@pytest.fixture
def square(tmp_path: Path) -> Callable[[list[int]], Path]:
    """A GeoJSON of one square of 20 px, given the origin that it states."""

    def write(origin: list[int]) -> Path:
        shifted = [[[x - origin[0], y - origin[1]] for x, y in ring] for ring in SQUARE]
        feature = {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": shifted},
            "properties": {"classification": {"name": "Nucleus", "color": RED}},
        }
        path = tmp_path / "square.geojson"
        collection = {"type": "FeatureCollection", "wsi_nucssl": {"origin_l0": origin}, "features": [feature]}
        path.write_text(json.dumps(collection))
        return path

    return write


@pytest.mark.parametrize("origin", [[0, 0], [7, -3]])
def test_overlay_changes_the_outline_and_nothing_else(
    cli: Callable[..., Ended], square: Callable[[list[int]], Path], tmp_path: Path, origin: list[int]
) -> None:
    picture = tmp_path / "picture.png"
    ended = cli("overlay", SAMPLE, square(origin), "-o", picture, "--region", 1000, 1000, 60, 60, "--plain")
    assert ended.code == 0
    drawn = imagecodecs.imread(picture)
    with open_slide(SAMPLE) as slide:
        plain = slide.read_region(Point(1000, 1000), 0, Size(60, 60))
    rows, cols = np.nonzero((drawn != plain).any(axis=2))
    # Outlines run along y = 20 and 40, x = 10 and 30; a drawn line is up to three px wide.
    assert abs(rows.min() - 19.5) < 2
    assert abs(rows.max() - 39.5) < 2
    assert abs(cols.min() - 9.5) < 2
    assert abs(cols.max() - 29.5) < 2
    assert (drawn[23:37, 13:27] == plain[23:37, 13:27]).all()


@pytest.mark.parametrize("given", ["#00e05a", "00E05A"])
def test_a_colour_is_given_in_hex(
    cli: Callable[..., Ended], square: Callable[[list[int]], Path], tmp_path: Path, given: str
) -> None:
    picture = tmp_path / "picture.png"
    words = ("-o", picture, "--region", 1000, 1000, 60, 60, "--width", 3, "--plain")
    ended = cli("overlay", SAMPLE, square([0, 0]), *words, "--color", given)
    assert ended.code == 0, ended.err
    assert (imagecodecs.imread(picture) == (0x00, 0xE0, 0x5A)).all(axis=2).sum() > 60


def test_what_is_no_colour_is_refused(
    cli: Callable[..., Ended], square: Callable[[list[int]], Path], tmp_path: Path
) -> None:
    ended = cli("overlay", SAMPLE, square([0, 0]), "-o", tmp_path / "picture.png", "--color", "green")
    assert ended.code == 2
    assert "--color 'green' is no colour" in ended.err
    assert not (tmp_path / "picture.png").exists()


@pytest.mark.parametrize("content", ["", "[1, 2", '{"type": "FeatureCollection"}', '{"a": 1}'])
def test_overlay_names_a_file_that_is_no_geojson(
    cli: Callable[..., Ended], tmp_path: Path, content: str
) -> None:
    bad = tmp_path / "bad.geojson"
    bad.write_text(content)
    ended = cli("overlay", SAMPLE, bad, "-o", tmp_path / "picture.png")
    assert ended.code == 4
    assert "bad.geojson" in ended.err
    assert not (tmp_path / "picture.png").exists()


@pytest.mark.filterwarnings("default::wsi_nucssl.doubts.DoubtWarning")
def test_overlay_says_in_words_what_was_taken_for_what(cli: Callable[..., Ended], tmp_path: Path) -> None:
    path = tmp_path / "class.geojson"
    moved = [[x + 100, y] for x, y in SQUARE[0]]
    path.write_text(json.dumps({"type": "MultiPolygon", "coordinates": [SQUARE, [moved]]}))
    ended = cli("overlay", SAMPLE, path, "-o", tmp_path / "a.png", "--region", 1000, 1000, 60, 60)
    assert ended.code == 0
    assert ended.err == (
        f"warning: {path}: 1 MultiPolygons or collections were taken for many nuclei, one a part. "
        "Export one Polygon a nucleus\n"
    )


@pytest.mark.parametrize("size", [(0, 60), (60, -1)])
def test_overlay_refuses_a_region_without_a_pixel(
    cli: Callable[..., Ended], square: Callable[[list[int]], Path], tmp_path: Path, size: tuple[int, int]
) -> None:
    ended = cli("overlay", SAMPLE, square([0, 0]), "-o", tmp_path / "a.png", "--region", 1000, 1000, *size)
    assert ended.code == 2
    assert "--region (1000, 1000, " in ended.err
    assert "has no pixel" in ended.err


def test_overlay_refuses_a_picture_beyond_memory(
    cli: Callable[..., Ended], square: Callable[[list[int]], Path], tmp_path: Path
) -> None:
    ended = cli("overlay", SAMPLE, square([0, 0]), "-o", tmp_path / "picture.png", "--zoom", 16)
    assert ended.code == 2
    assert "--zoom" in ended.err


def test_pack_keeps_what_the_model_is(cli: Callable[..., Ended], tmp_path: Path) -> None:
    info = ModelInfo("before", "resunet18", 0.25, InstanceConfig(body=0.4), provenance={"seed": 7})
    source, packed = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    save_model(source, build("resunet18"), info)
    assert cli("pack", source, "-o", packed, "--storage", "int8").code == 0
    model = load_model(packed)
    assert (model.info.name, model.info.instances, model.info.provenance) == (
        "after",
        info.instances,
        info.provenance,
    )
    assert packed.stat().st_size < source.stat().st_size / 3
    refused = cli("pack", source, "-o", packed)
    assert refused.code == 5
    assert "--overwrite" in refused.err
