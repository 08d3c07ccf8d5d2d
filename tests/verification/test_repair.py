"""What is lost is made again with the same bytes, and what is whole is not touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verification.conftest import FORMATS, STEPS, World
from tests.verification.damages import cut, flip
from tests.verification.test_verification import kinds
from wsi_nucssl.files import remove_path, sha256_tree
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.run import segment_slide
from wsi_nucssl.verification.examination import Verification

Verify = Callable[..., Verification]
State = dict[str, tuple[str, int]]


def state(root: Path) -> State:
    """Each file's bytes, by hash, and the time it was written; what only coordinates processes aside."""
    return {
        str(path): (sha256_tree(path), path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file() and "lock" not in path.name
    }


def written(before: State, after: State) -> set[str]:
    """The files that were written between."""
    return {name for name in after if before.get(name) != after[name]}


def hashes(found: State) -> dict[str, str]:
    return {name: sha256 for name, (sha256, _) in found.items()}


def lose_outputs(batch: Path) -> None:
    for name in FORMATS:
        remove_path(batch / f"one.{name}")


DAMAGES: dict[str, Callable[[World], object]] = {
    "a cut GeoJSON": lambda world: cut(world.batch / "one.geojson"),
    "a lost GeoJSON": lambda world: (world.batch / "one.geojson").unlink(),
    "a lost CSV": lambda world: (world.batch / "one.csv").unlink(),
    "a damaged Parquet": lambda world: flip(world.batch / "one.parquet"),
    "a lost AnnData": lambda world: (world.batch / "one.h5ad").unlink(),
    "lost SpatialData": lambda world: shutil.rmtree(world.batch / "one.spatialdata.zarr"),
    "lost labels": lambda world: shutil.rmtree(world.batch / "one.zarr"),
    "all outputs of a slide": lambda world: lose_outputs(world.batch),
    "a lost manifest": lambda world: (world.batch / "one.geojson.run" / "manifest.json").unlink(),
    "a lost tile": lambda world: (world.store / "0/c/0/1/2").unlink(),
    "a damaged tile": lambda world: flip(world.store / "0/c/0/1/3"),
    "a tile at the border": lambda world: (world.store / "0/c/0/3/5").unlink(),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_lost_is_made_again(name: str, world: World, verify: Verify, tmp_path: Path) -> None:
    whole = state(tmp_path)
    DAMAGES[name](world)
    damaged = state(tmp_path)
    lost = {path for path in whole if hashes(damaged).get(path) != whole[path][0]}
    assert lost
    found = verify(world.batch, world.store, repair=True, slide=world.slides, model=world.weights)
    assert not found.faults
    assert any(verdict.repaired for verdict in found.verdicts)
    assert hashes(state(tmp_path)) == hashes(whole)
    assert written(damaged, state(tmp_path)) == lost | {
        path
        for path in written(damaged, state(tmp_path))
        if "one.zarr/" in path and "batch" in path and lost & {path}
    }


def test_a_stopped_run_is_gone_on_with(world: World, verify: Verify) -> None:
    (world.stopped / "windows.zarr/c/1/1/0/0/0").unlink()
    cut(world.stopped / "blocks/00000-00001.npz")
    found = verify(world.stopped, repair=True, slide=world.one, model=world.weights)
    assert not found.faults
    output = world.stopped.with_name("one.geojson")
    assert output.read_bytes() == (world.batch / "one.geojson").read_bytes()
    assert not verify(world.stopped.parent).faults


def test_what_cannot_be_made_again_says_why(world: World, verify: Verify) -> None:
    lost = world.batch / "one.zarr"
    lose_outputs(world.batch)
    found = verify(world.batch, repair=True)
    assert kinds(found, lost) == {"absent", "not-repaired"}
    why = {fault.what for fault in found.faults if fault.kind == "not-repaired"}
    assert why == {"it cannot be repaired: the weights double are not at hand"}
    world.one.unlink()
    found = verify(world.batch, repair=True, model=world.weights)
    assert {f.what for f in found.faults if f.kind == "not-repaired"} == {
        "it cannot be repaired: its slide is not at hand"
    }
    assert not [*world.batch.glob(".*.repair")]


def test_another_slide_is_not_repaired_away(world: World, verify: Verify, tmp_path: Path) -> None:
    shutil.copy(world.slides / "two.tif", world.one)
    before = state(tmp_path)
    assert verify(world.batch, repair=True, model=world.weights).faults
    assert state(tmp_path) == before


def test_weights_cannot_be_made_again(world: World, verify: Verify) -> None:
    flip(world.weights, 0.001)
    assert verify(world.weights, repair=True).faults


def test_regions_that_only_a_file_knew_are_asked_for(world: World, verify: Verify, tmp_path: Path) -> None:
    ring = [[[100, 100], [500, 100], [500, 400], [100, 400], [100, 100]]]
    roi, output = tmp_path / "roi.geojson", tmp_path / "part" / "one.geojson"
    roi.write_text(json.dumps({"type": "Polygon", "coordinates": ring}))
    output.parent.mkdir()
    options = SegmentOptions(roi=roi)
    summary = segment_slide(world.one, output, load_model(world.weights), options, steps=STEPS)
    assert summary.nuclei > 10
    assert not verify(output.parent).faults
    cut(output)
    found = verify(output.parent, repair=True, slide=world.one, model=world.weights)
    assert "it cannot be repaired: its regions were drawn in a file" in {fault.what for fault in found.faults}
