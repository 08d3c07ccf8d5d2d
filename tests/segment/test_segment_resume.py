"""Death, damage and a full disk at any moment: a resumed run ends in the same bytes; nothing half done has a name."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.segment import fakes
from tests.segment.children import Child, files_in, fork_server
from tests.segment.features import read_features
from wsi_nucssl.errors import InputError, OutputExists, OutputLocked, RunMismatch, Stopped
from wsi_nucssl.export.base import ExportContext, Exporter, WriteNuclei
from wsi_nucssl.export.geojson import GEOJSON
from wsi_nucssl.locks import locked
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.segment.outputs import run_path
from wsi_nucssl.segment.reporting import report_path
from wsi_nucssl.segment.run import Steps
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.slide import RGB

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

Segment = Callable[..., SegmentSummary]


@pytest.fixture(scope="module")
def run(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Child]]:
    """Begin `wsi-nucssl` with these arguments in a process of its own, with the engine double."""
    with fork_server(slide, tmp_path_factory.mktemp("fork_server") / "log") as begin:
        yield begin


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "double.safetensors"
    info = fakes.model().info
    save_model(path, build(info.arch), info, "int8")
    return path


@pytest.fixture(scope="module")
def slide(tissue: RGB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.write_slide(tmp_path_factory.mktemp("slide") / "tissue.tif", tissue)


@pytest.fixture(scope="module")
def undisturbed(run: Callable[..., Child], slide: Path, weights: Path) -> bytes:
    output = slide.with_name("undisturbed.geojson")
    assert run("segment", slide, "-o", output, "--model", weights).wait() == 0
    return output.read_bytes()


def leftovers(output: Path) -> list[str]:
    """What is there besides the output, its report, the run's manifest, summary and lock."""
    kept = {
        output.name,
        run_path(output).name,
        report_path(output).name,
        "manifest.json",
        "summary.json",
        ".lock",
    }
    return [path.name for path in output.parent.rglob("*") if path.name not in kept]


def moment(output: Path, chance: random.Random) -> Callable[[], bool]:
    """When a run has made some number of files more than are there, or when its output has appeared."""
    if chance.random() < 0.2 and not output.exists():
        return output.exists
    folder, hesitation = run_path(output), chance.uniform(0, 0.02)
    wanted = files_in(folder) + chance.randint(1, 30)

    def come() -> bool:
        if files_in(folder) < wanted:
            return False
        time.sleep(hesitation)  # what comes next is half done
        return True

    return come


@pytest.mark.parametrize("most", [5, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_at_random_moments(
    run: Callable[..., Child], slide: Path, weights: Path, undisturbed: bytes, tmp_path: Path, most: int
) -> None:
    chance = random.Random(4)
    kills = runs = 0
    stages: set[tuple[bool, ...]] = set()
    while kills < most:
        output = tmp_path / str(runs) / "n.geojson"
        words = ["segment", slide, "-o", output, "--model", weights, "--resume"]
        ended = -signal.SIGKILL
        while ended == -signal.SIGKILL and kills < most:
            come = moment(output, chance)
            ended = (child := run(*words, seconds=0.02)).kill_when(come)
            kills += ended == -signal.SIGKILL
            parts = ("manifest.json", "windows.zarr", "blocks")
            stages.add(tuple((run_path(output) / part).exists() for part in parts))
            if output.exists():
                assert output.read_bytes() == undisturbed
        assert ended in (0, -signal.SIGKILL), child.log.read_text()
        assert run(*words).wait() == 0, child.log.read_text()
        assert output.read_bytes() == undisturbed
        assert not leftovers(output)
        runs += 1
    assert len(stages) > 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_softly_and_names_the_command_that_goes_on(
    run: Callable[..., Child],
    slide: Path,
    weights: Path,
    undisturbed: bytes,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    output = tmp_path / "a folder" / "n.geojson"
    child = run("segment", slide, "-o", output, "--model", weights, seconds=0.05)
    chunks = run_path(output) / "windows.zarr" / "c"
    assert child.kill_when(chunks.exists, number) == 128 + number
    said = child.log.read_text()
    assert "Traceback" not in said
    assert not output.exists()
    command = shlex.split(said.strip().splitlines()[-1].split("Go on with: ")[1])
    assert command[0] == "wsi-nucssl"
    assert run(*command[1:]).wait() == 0
    assert output.read_bytes() == undisturbed
    assert not leftovers(output)


@pytest.mark.parametrize("largest_file", [500, 5_000, 100_000])
def test_a_full_disk(
    run: Callable[..., Child],
    slide: Path,
    weights: Path,
    undisturbed: bytes,
    tmp_path: Path,
    largest_file: int,
) -> None:
    output = tmp_path / "n.geojson"
    words = ["segment", slide, "-o", output, "--model", weights]
    child = run(*words, largest_file=largest_file)
    assert child.wait() == 6
    said = child.log.read_text()
    assert "the disk is full" in said
    assert str(output) in said
    assert "Traceback" not in said
    assert not output.exists()
    assert run(*words, "--resume").wait() == 0
    assert output.read_bytes() == undisturbed
    assert not leftovers(output)


@pytest.fixture
def stopped(segment: Segment, slide: Path, tmp_path: Path) -> Path:
    """An output whose run has done all but the export."""
    output = tmp_path / "n.geojson"
    with pytest.raises(KeyboardInterrupt):
        segment(slide, output, block_px=256, steps=Steps(exporter=lambda _: Exporter(dies_at_the_end)))
    return output


@contextmanager
def dies_at_the_end(_: Path, __: ExportContext) -> Iterator[WriteNuclei]:
    yield lambda _: None
    raise KeyboardInterrupt


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("part", ["windows.zarr/c/*/*/0/0/0", "blocks/*.npz"])
def test_what_lies_in_anothers_place_is_made_again(
    segment: Segment, slide: Path, stopped: Path, part: str
) -> None:
    expected = segment(slide, stopped.with_name("undisturbed.geojson"), block_px=256).output.read_bytes()
    first, *others = sorted(run_path(stopped).glob(part))
    contents = first.read_bytes()
    other = next(each for each in others if each.read_bytes() != contents)
    first.write_bytes(other.read_bytes())
    other.write_bytes(contents)
    if "windows" in part:
        for block in run_path(stopped).glob("blocks/*.npz"):
            block.unlink()
    segment(slide, stopped, block_px=256, resume=True)
    assert stopped.read_bytes() == expected


@pytest.mark.parametrize("damage", [truncate, garble, empty, Path.unlink])
@pytest.mark.parametrize("part", ["windows.zarr/c/*/*/0/0/0", "blocks/*.npz", "windows.zarr/zarr.json"])
def test_damage_between_two_runs_is_made_good(
    segment: Segment, slide: Path, stopped: Path, part: str, damage: Callable[[Path], None]
) -> None:
    expected = segment(slide, stopped.with_name("undisturbed.geojson"), block_px=256).output.read_bytes()
    files = sorted(run_path(stopped).glob(part))
    for path in (files[0], files[-1]) if len(files) > 1 else files:
        damage(path)
    for block in sorted(run_path(stopped).glob("blocks/*.npz"))[1:5]:
        block.unlink()
    segment(slide, stopped, block_px=256, resume=True)
    assert stopped.read_bytes() == expected


def test_any_changed_bit_of_a_table_is_noticed_or_without_effect(stopped: Path) -> None:
    table = sorted(run_path(stopped).glob("blocks/*.npz"))[1]
    whole = table.read_bytes()
    row, col = map(int, table.stem.split("-"))
    rng = np.random.default_rng(0)
    noticed = 0
    for place in rng.integers(len(whole), size=400):
        raw = bytearray(whole)
        raw[place] ^= 1 << rng.integers(8)
        table.write_bytes(raw)
        try:
            nuclei = Nuclei.load(table, (row, col))
        except InputError:
            noticed += 1
        else:
            nuclei.save(table, (row, col))
            assert table.read_bytes() == whole
    assert noticed > 300


def test_blocks_with_changed_bits_are_made_again(segment: Segment, slide: Path, stopped: Path) -> None:
    expected = segment(slide, stopped.with_name("undisturbed.geojson"), block_px=256).output.read_bytes()
    rng = np.random.default_rng(0)
    for block in sorted(run_path(stopped).glob("blocks/*.npz")):
        raw = bytearray(block.read_bytes())
        raw[rng.integers(len(raw))] ^= 1 << rng.integers(8)
        block.write_bytes(raw)
    segment(slide, stopped, block_px=256, resume=True)
    assert stopped.read_bytes() == expected


def test_a_run_with_other_settings_is_refused(segment: Segment, slide: Path, stopped: Path) -> None:
    with pytest.raises(RunMismatch, match=r"origin: was 'qupath', now 'level0'") as caught:
        segment(slide, stopped, block_px=256, origin="level0", resume=True)
    assert caught.value.exit_code == 5
    with pytest.raises(RunMismatch, match="instances"):
        segment(slide, stopped, block_px=256, resume=True, model=fakes.model(min_area_px=61))
    segment(slide, stopped, block_px=256, resume=True, workers=5)


def test_another_slide_under_the_same_name_is_refused(
    segment: Segment, tissue: RGB, stopped: Path, tmp_path: Path
) -> None:
    other = fakes.write_slide(tmp_path / "tissue.tif", tissue[::-1])
    with pytest.raises(RunMismatch, match="slide"):
        segment(other, stopped, block_px=256, resume=True)


def test_what_is_there_is_kept(segment: Segment, slide: Path, tmp_path: Path) -> None:
    output = tmp_path / "n.geojson"
    first = segment(slide, output)
    with pytest.raises(OutputExists, match="`overwrite`"):
        segment(slide, output)
    before = output.stat().st_mtime_ns
    assert segment(slide, output, resume=True) == first
    assert output.stat().st_mtime_ns == before
    output.write_text("edited by hand")
    with pytest.raises(OutputExists, match="was changed"):
        segment(slide, output, resume=True)
    assert output.read_text() == "edited by hand"
    again = segment(slide, output, overwrite=True)
    assert again.sha256 == first.sha256


def test_an_output_of_unknown_origin_is_not_resumed(segment: Segment, slide: Path, tmp_path: Path) -> None:
    output = tmp_path / "n.geojson"
    output.write_text("somebody's work")
    with pytest.raises(OutputExists, match="`overwrite`"):
        segment(slide, output, resume=True)
    assert output.read_text() == "somebody's work"
    segment(slide, output, overwrite=True)
    shutil.rmtree(run_path(output))
    with pytest.raises(OutputExists, match="not the run that made it"):
        segment(slide, output, resume=True)


def test_a_lost_output_of_a_finished_run_is_made_again(segment: Segment, slide: Path, tmp_path: Path) -> None:
    output = tmp_path / "n.geojson.gz"
    segment(slide, output)
    expected = output.read_bytes()
    output.unlink()
    segment(slide, output, resume=True)
    assert output.read_bytes() == expected


def test_a_damaged_summary_is_no_summary(segment: Segment, slide: Path, tmp_path: Path) -> None:
    output = tmp_path / "n.geojson"
    first = segment(slide, output)
    truncate(run_path(output) / "summary.json")
    assert segment(slide, output, resume=True).sha256 == first.sha256


@contextmanager
def interrupted(path: Path, context: ExportContext) -> Iterator[WriteNuclei]:
    os.kill(os.getpid(), signal.SIGTERM)
    with GEOJSON.opener(path, context) as write:
        yield write


def test_a_signal_while_exporting_stops_softly(segment: Segment, slide: Path, stopped: Path) -> None:
    expected = segment(slide, stopped.with_name("undisturbed.geojson"), block_px=256).output.read_bytes()
    steps = Steps(exporter=lambda _: Exporter(interrupted))
    with pytest.raises(Stopped):
        segment(slide, stopped, block_px=256, resume=True, steps=steps)
    assert not stopped.exists()
    segment(slide, stopped, block_px=256, resume=True)
    assert stopped.read_bytes() == expected


def test_one_writer_at_a_time(segment: Segment, slide: Path, tmp_path: Path) -> None:
    output = tmp_path / "n.geojson"
    with locked(run_path(output)), pytest.raises(OutputLocked) as caught:
        segment(slide, output, overwrite=True)
    assert caught.value.exit_code == 5
    segment(slide, output)


def test_probabilities_stay_when_asked_for(segment: Segment, slide: Path, tmp_path: Path) -> None:
    output = tmp_path / "n.geojson"
    segment(slide, output, keep_probabilities=True)
    assert (run_path(output) / "probabilities.zarr" / "zarr.json").exists()
    assert not (run_path(output) / "windows.zarr").exists()
    assert not (run_path(output) / "blocks").exists()
    assert len(read_features(output)) > 100
