"""Ingest: bit for bit what the canvas reads, whole or not there, continued after any interruption."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_replacing import die_at
from wsi_nucssl.cohort import outputs_in
from wsi_nucssl.errors import MissingMpp, OutputExists, RunMismatch, UsageError
from wsi_nucssl.files import sha256_file
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.slide import Canvas, open_slide, tissue_mask, write_tissue
from wsi_nucssl.tiles.ingest import TileConfig, TileProgress, ingest
from wsi_nucssl.tiles.slides import SlideSource, ingest_slides
from wsi_nucssl.tiles.store import TileStore

SAMPLE = Path(__file__).parents[2] / "sample_slides" / "sample.svs"
CONFIG = TileConfig(Mpp.square(0.25), tile_px=400, codec="none")


class InterruptError(Exception):
    pass


def contents(store: Path) -> dict[str, bytes]:
    return {str(file.relative_to(store)): file.read_bytes() for file in store.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    destination = tmp_path_factory.mktemp("whole") / "sample.zarr"
    with open_slide(SAMPLE) as slide:
        ingest(slide, destination, CONFIG, workers=2)
    return contents(destination)


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        TileConfig(Mpp.square(0.5), tile_px=333, codec="zstd"),
        TileConfig(Mpp(0.4, 0.3), tile_px=500, codec="blosc", min_tissue=0.5),
        TileConfig(Mpp.square(1.0), tile_px=64, codec="none", min_tissue=0.0),
    ],
)
def test_the_store_holds_what_the_canvas_reads(config: TileConfig, tmp_path: Path) -> None:
    with open_slide(SAMPLE) as slide:
        store = ingest(slide, tmp_path / "s.zarr", config)
        canvas = Canvas(slide, config.mpp)
        mask = tissue_mask(slide)
        assert store.metadata.size == canvas.size
        for tile in store.metadata.grid:
            part = mask.coverage(canvas.to_level0(tile.core))
            assert store.tissue[tile.row, tile.col] == pytest.approx(part, abs=1e-6)
        assert {(tile.row, tile.col) for tile in store} == set(
            map(tuple, np.argwhere(store.tissue >= np.float32(config.min_tissue)).tolist())
        )
        assert len(store) > 5
        for tile in store:
            np.testing.assert_array_equal(store.read(tile.row, tile.col), canvas.read(tile.core))


def test_glass_is_left_out(undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    chunks = [name for name in undisturbed if name.startswith("0/c/")]
    with open_slide(SAMPLE) as slide:
        everything = ingest(slide, tmp_path / "s.zarr", TileConfig(Mpp.square(0.25), 400, 0.0, "none"))
    assert 10 < len(chunks) < len(everything) == len(everything.metadata.grid)


def test_tissue_by_another_way_is_another_store(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    annotations = tmp_path / "sample.geojson"
    with open_slide(SAMPLE) as slide:
        found = tissue_mask(slide)
        write_tissue(annotations, found, slide)
        usual = ingest(slide, tmp_path / "stain.zarr", CONFIG)
        everywhere = ingest(slide, tmp_path / "none.zarr", replace(CONFIG, tissue="none"))
        drawn = ingest(slide, tmp_path / "drawn.zarr", replace(CONFIG, tissue=str(tmp_path)))
        assert contents(usual.path) == undisturbed
        assert "tissue" not in usual.metadata.provenance
        assert everywhere.metadata.provenance["tissue"] == "none"
        assert drawn.metadata.provenance["tissue"] == sha256_file(annotations)
        assert [*usual] == [*drawn]
        assert len(everywhere) == len(everywhere.metadata.grid) > len(usual)
        with pytest.raises(RunMismatch):
            ingest(slide, tmp_path / "stain.zarr", replace(CONFIG, tissue="none"))
        with pytest.raises(UsageError, match="neither a file nor a way"):
            ingest(slide, tmp_path / "new.zarr", replace(CONFIG, tissue="nowhere"))
    assert not (tmp_path / "new.zarr").exists()


def test_one_file_of_tissue_is_not_for_several_slides(tmp_path: Path) -> None:
    (file := tmp_path / "t.geojson").touch()
    with pytest.raises(UsageError, match="2 slides"):
        ingest_slides(
            {tmp_path / f"{name}.svs": tmp_path / f"{name}.zarr" for name in "ab"},
            replace(CONFIG, tissue=str(file)),
            SlideSource(),
            on_slide=lambda _: lambda _: None,
            on_store=lambda *_, **__: None,
            on_failure=lambda *_: None,
        )


@pytest.mark.parametrize("after", [0, 1, 7])
def test_an_interrupted_ingest_continues(after: int, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    destination = tmp_path / "s.zarr"
    seen: list[TileProgress] = []

    def stop(progress: TileProgress) -> None:
        if progress.done >= after:
            raise InterruptError

    with open_slide(SAMPLE) as slide:
        with pytest.raises(InterruptError):
            ingest(slide, destination, CONFIG, workers=2, on_progress=stop)
        assert not destination.exists()
        ingest(slide, destination, CONFIG, workers=2, on_progress=seen.append)
    assert contents(destination) == undisturbed
    assert seen[0].resumed == seen[0].done >= after
    assert [progress.done for progress in seen] == list(range(seen[0].resumed, seen[0].total + 1))
    assert [path.name for path in tmp_path.iterdir()] == ["s.zarr"]


_SCRIPT = """
import signal, sys, time
from pathlib import Path
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.slide import open_slide
from wsi_nucssl.tiles.ingest import TileConfig, ingest
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
def wait_for_the_signal(progress):
    print(progress.done, flush=True)
    if progress.done >= 3:
        time.sleep(60)
with open_slide(sys.argv[1]) as slide:
    ingest(slide, Path(sys.argv[2]), TileConfig(Mpp.square(0.25), tile_px=400, codec="none"), workers=2,
           on_progress=wait_for_the_signal)
"""


@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_a_killed_ingest_continues(how: str, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    destination = tmp_path / "s.zarr"
    command = [sys.executable, "-c", _SCRIPT, str(SAMPLE), str(destination)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 3:
            pass
        os.kill(process.pid, getattr(signal, how))
        assert process.wait(timeout=30) != 0
    assert not destination.exists()
    with open_slide(SAMPLE) as slide:
        ingest(slide, destination, CONFIG)
    assert contents(destination) == undisturbed


def test_a_finished_store_is_left_as_it_is(tmp_path: Path) -> None:
    destination = tmp_path / "s.zarr"
    with open_slide(SAMPLE) as slide:
        ingest(slide, destination, CONFIG)
        before = {path: path.stat().st_mtime_ns for path in destination.rglob("*")}
        ingest(slide, destination, CONFIG)
        assert before == {path: path.stat().st_mtime_ns for path in destination.rglob("*")}
        other = TileConfig(Mpp.square(0.25), tile_px=500, codec="none")
        with pytest.raises(RunMismatch, match="`overwrite`"):
            ingest(slide, destination, other)
        assert ingest(slide, destination, other, overwrite=True).metadata.tile_px == 500


def test_an_unfinished_run_with_other_settings_is_refused(tmp_path: Path) -> None:
    def stop(_: TileProgress) -> None:
        raise InterruptError

    destination = tmp_path / "s.zarr"
    with open_slide(SAMPLE) as slide:
        with pytest.raises(InterruptError):
            ingest(slide, destination, CONFIG, on_progress=stop)
        with pytest.raises(RunMismatch):
            ingest(slide, destination, TileConfig(Mpp.square(0.5), tile_px=400, codec="none"))


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "s.zarr").mkdir()
    (tmp_path / "s.zarr" / "mine.txt").write_text("precious")
    with open_slide(SAMPLE) as slide, pytest.raises(OutputExists):
        ingest(slide, tmp_path / "s.zarr", CONFIG, overwrite=True)
    assert (tmp_path / "s.zarr" / "mine.txt").read_text() == "precious"


def test_a_real_slide_without_mpp_is_refused(tcga_slide: Path, tmp_path: Path) -> None:
    with open_slide(tcga_slide) as slide, pytest.raises(MissingMpp):
        ingest(slide, tmp_path / "s.zarr", CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_a_real_slide(cmu_slide: Path, tmp_path: Path) -> None:
    config = TileConfig(Mpp.square(0.499), codec="jpeg")
    with open_slide(cmu_slide) as slide:
        store = ingest(slide, tmp_path / "s.zarr", config)
        canvas = Canvas(slide, config.mpp)
        for tile in store:
            error = np.abs(store.read(tile.row, tile.col).astype(int) - canvas.read(tile.core))
            assert error.mean() < 5
    assert TileStore.open(tmp_path / "s.zarr").metadata.provenance["reader"] == "tiff"


@pytest.mark.parametrize("broken", [{"tile_px": 3}, {"min_tissue": 1.5}, {"codec": "gif"}])
def test_impossible_settings_are_usage_errors(broken: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        TileConfig(**{"mpp": Mpp.square(0.25), **broken})


def test_slide_names_become_safe_names() -> None:
    slide = Path("in/../a b;c.svs")
    assert outputs_in(Path("out"), [slide], ".zarr") == {slide: Path("out/a_b_c.zarr")}


def test_a_stopped_replacement_loses_no_store_and_goes_on(tmp_path: Path) -> None:
    """At every step: the old store or the new one opens, and the same call again ends with the new one."""
    destination, other = tmp_path / "s.zarr", TileConfig(Mpp.square(1.0), tile_px=800, codec="zstd")
    old = TileConfig(Mpp.square(1.0), tile_px=900, codec="zstd")
    number, dead = 1, 0
    with open_slide(SAMPLE) as slide:
        new = contents(ingest(slide, tmp_path / "new.zarr", other, workers=1).path)
        before = contents(ingest(slide, destination, old, workers=1).path)
        replace = partial(ingest, slide, destination, other, workers=1, overwrite=True)
        while die_at(number, replace):
            dead += 1
            assert contents(destination) in (before, new)
            TileStore.open(destination)
            assert contents(replace().path) == new
            assert [path.name for path in tmp_path.glob(".*")] == []
            ingest(slide, destination, old, workers=1, overwrite=True)
            number += 7
    assert dead > 10
