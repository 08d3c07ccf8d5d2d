"""`--scene` and `--focus` on every command that reads slides: what is asked for is read, and recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from tests.cli.commands import Ended
from wsi_nucssl.geometry import Box
from wsi_nucssl.jobs.pretraining import pretrain_job
from wsi_nucssl.pretext.sources import open_source
from wsi_nucssl.result.reading import read_nuclei
from wsi_nucssl.slide import RGB, open_slide
from wsi_nucssl.slide.part import PartChoice
from wsi_nucssl.tiles.store import TileStore

Cli = Callable[..., Ended]
UM = {"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm"}
TILED: dict[str, Any] = {"tile": (128, 128), "photometric": "rgb"}
APERIO = "Aperio Image Library v11.2.1\n600x500 (128x128) RAW|AppMag = 40|MPP = 0.25"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, pixels: RGB) -> Path:
    """Two scenes: tissue, and the same turned upside down."""
    path = tmp_path_factory.mktemp("scenes") / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for name, image in (("left", pixels), ("right", np.ascontiguousarray(pixels[::-1]))):
            tiff.write(image, metadata={"axes": "YXS", "Name": name, **UM}, **TILED)
    return path


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, pixels: RGB) -> Path:
    """Two planes, of which the second is in focus."""
    path = tmp_path_factory.mktemp("stacks") / "stack.svs"
    with tifffile.TiffWriter(path) as tiff:
        for image in (cv2.GaussianBlur(pixels, (0, 0), 3), pixels):
            tiff.write(image, description=APERIO, metadata=None, **TILED)
    return path


def _header(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())["wsi_nucssl"]
    return found


def test_without_a_choice_the_option_is_named(cli: Cli, scenes: Path, weights: Path, tmp_path: Path) -> None:
    for words in (
        ("segment", scenes, "-o", tmp_path / "a.geojson", "--model", weights),
        ("tile", scenes, "-o", tmp_path / "tiles"),
        ("info", scenes),
        ("pretrain", scenes, "-o", tmp_path / "run"),
    ):
        refused = cli(*words)
        assert refused.code == 4
        assert "0: left; 1: right" in refused.err.replace("\n", " ")
        assert "--scene" in refused.err


def test_info_lists_scenes_planes_and_the_profile(cli: Cli, scenes: Path, stack: Path) -> None:
    shown = cli("info", scenes, "--scene", "right")
    assert shown.code == 0
    assert "0: left" in shown.out
    assert "1: right (this one)" in shown.out
    found = json.loads(cli("info", scenes, "--scene", 1, "--json").out)
    assert (found["scenes"], found["scene"], found["icc_profile"]) == (["left", "right"], 1, "")
    assert "plane 1 of 2" in cli("info", stack).out
    found = json.loads(cli("info", stack, "--focus", 0, "--json").out)
    assert (found["focus_planes"], found["focus"]) == (2, 0)


def test_segment_reads_the_scene_and_records_it(
    cli: Cli, scenes: Path, weights: Path, tmp_path: Path
) -> None:
    output = tmp_path / "a.geojson"
    words = ("segment", scenes, "-o", output, "--model", weights)
    assert cli(*words, "--scene", "right").code == 0
    header = _header(output)
    assert (header["scene"], header["scene_name"]) == (1, "right")
    for other in ("0", "left"):
        assert cli(*words, "--scene", other, "--resume").code == 5
    assert cli(*words, "--scene", "1", "--resume").code == 0
    result = read_nuclei(output, slide=scenes)
    with open_slide(scenes, scene=1) as slide:
        assert result.picture is not None
        whole = Box(0, 0, 600, 500)
        assert np.array_equal(result.picture.read(whole, 600), slide.read(whole))
    drawn = tmp_path / "drawn.png"
    assert cli("overlay", scenes, output, "-o", drawn).code == 0
    assert cli("overlay", scenes, output, "-o", tmp_path / "other.png", "--scene", "left").code == 0
    assert drawn.read_bytes() != (tmp_path / "other.png").read_bytes()


def test_another_focus_is_another_run(cli: Cli, stack: Path, weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.geojson"
    words = ("segment", stack, "-o", output, "--model", weights)
    assert cli(*words).code == 0
    assert _header(output)["focus"] == 1
    assert cli(*words, "--focus", 0, "--resume").code == 5
    assert cli(*words, "--focus", 1, "--resume").code == 0
    assert cli(*words, "--focus", 2, "--overwrite").code == 4


def test_tile_stores_another_scene_as_another_store(cli: Cli, scenes: Path, tmp_path: Path) -> None:
    words = ("tile", scenes, "-o", tmp_path, "--tile-size", 128)
    assert cli(*words, "--scene", "left").code == 0
    assert cli(*words, "--scene", "right").code == 5
    store = TileStore.open(next(tmp_path.glob("*.zarr")))
    assert store.metadata.provenance["scene_name"] == "left"
    with open_slide(scenes, scene="left") as slide:
        tile = next(iter(store))
        x, y = tile.core.x0, tile.core.y0
        found = store.read(tile.row, tile.col)
        assert np.array_equal(found, slide.read((x, y, found.shape[1], found.shape[0])))


def test_pretrain_learns_from_the_scene_and_tells_runs_apart(scenes: Path) -> None:
    identities = set()
    for scene in ("left", "right"):
        job = pretrain_job(
            scenes, task="triplet-rank", arch="efficientnet-lite0", recipe={"tile_px": 256}, steps=1,
            batch_size=None, deshortcut=False, mpp=0.25, slide_mpp=None, force_mpp=False,
            part=PartChoice(scene), tissue="none", seed=0,
        )  # fmt: skip
        with (
            open_source(job.sources, job.tiles, job.seed) as source,
            open_slide(scenes, scene=scene) as slide,
        ):
            identities.add(source.identity)
            assert np.array_equal(source.groups[0].read(0), slide.read((0, 0, 256, 256)))
    assert len(identities) == 2
