"""Damage of every kind is found by its name, and what is whole is well."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from safetensors.numpy import load_file, save_file

from tests.verification.conftest import FORMATS, World
from tests.verification.damages import DAMAGES, cut, edit, flip, ring, swap
from wsi_nucssl.errors import SlideError
from wsi_nucssl.ledger import Ledger, Row
from wsi_nucssl.locks import locked
from wsi_nucssl.models.info import BUNDLED
from wsi_nucssl.verification.examination import Verification
from wsi_nucssl.verification.fault import Verdict

Verify = Callable[..., Verification]


def kinds(found: Verification, path: Path) -> set[str]:
    """The kinds of faults of one file."""
    return {fault.kind for fault in found.faults if fault.path == str(path)}


def test_all_that_is_whole_is_well(world: World, verify: Verify) -> None:
    found = verify(world.batch, world.store, world.weights, slide=world.slides, model=world.weights)
    assert not found.faults
    looked = {verdict.path.name for verdict in found.verdicts}
    assert looked >= {
        "batch.csv",
        "one.zarr",
        "one.geojson.run",
        *(f"two.{name}" for name in FORMATS),
    }


def test_looking_changes_nothing(world: World, verify: Verify, tmp_path: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        looked_at = (
            path for path in tmp_path.rglob("*") if path.name != ".lock"
        )  # asking for a lock opens it
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in looked_at}

    log = world.stopped / "windows.zarr" / "checksums.bin"
    log.write_bytes(log.read_bytes()[:-3])
    before = state()
    verify(tmp_path, slide=world.one)
    assert state() == before


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found_by_name(name: str, world: World, verify: Verify, tmp_path: Path) -> None:
    where, kind, damage = DAMAGES[name]
    path = tmp_path / where
    damage(path)
    found = verify(tmp_path / where.partition("/")[0])
    assert kind in kinds(found, path), [fault.message for fault in found.faults]
    assert all(fault.remedy and not fault.what.endswith(".") for fault in found.faults)
    others = {fault.path for fault in found.faults} - {str(world.stopped)}
    assert others <= {str(path), *(str(each) for each in path.parent.glob("*")), str(path.parent)}


def test_a_swap_says_where_it_belongs(world: World, verify: Verify) -> None:
    one, other = (world.stopped / "windows.zarr" / "c" / place / "0/0/0" for place in ("0/1", "1/0"))
    swap(one, other)
    what = {fault.path: fault.what for fault in verify(world.stopped).faults}
    assert what[str(one)] == "window (0, 1) holds what belongs to window (1, 0)"
    assert what[str(other)] == "window (1, 0) holds what belongs to window (0, 1)"


def test_windows_of_which_nothing_is_known_are_named(world: World, verify: Verify) -> None:
    store = world.stopped / "windows.zarr"
    (store / "checksums.bin").unlink()
    assert kinds(verify(world.stopped), store / "c/1/1/0/0/0") == {"window"}


def test_another_slide_and_other_weights_are_named(world: World, verify: Verify) -> None:
    output, other = world.batch / "one.geojson", world.slides / "two.tif"
    assert kinds(verify(output, slide=other), output) == {"other-slide"}
    assert kinds(verify(world.store, slide=other), world.store) == {"other-slide"}
    assert kinds(verify(output.with_name("one.csv"), slide=other), output.with_name("one.csv")) == {
        "other-slide"
    }
    assert kinds(verify(output, model="liteunet0x2-nuclei"), output) == {"other-weights"}
    assert not verify(output, slide=world.one, model=world.weights).faults


def test_a_slide_that_was_replaced_is_seen_by_the_ledger(world: World, verify: Verify) -> None:
    shutil.copy(world.slides / "two.tif", world.one)
    found = verify(world.batch)
    assert kinds(found, world.batch / "one.geojson") == {"other-slide"}
    assert not kinds(found, world.batch / "two.geojson")


def test_rows_that_are_not_done_are_named(world: World, verify: Verify) -> None:
    ledger = Ledger(world.batch)
    ledger.enter([("three.tif", "three.geojson"), ("four.tif", "four.geojson")])
    ledger.put(Row("three.tif", "three.geojson", "failed", error="it is no slide", remedy="Leave it out"))
    found = verify(world.batch)
    assert kinds(found, world.batch / "batch.csv") == {"failed", "unfinished"}
    assert {fault.remedy for fault in found.faults} >= {"Leave it out"}


def test_a_ledger_of_folders_finds_what_lies_in_them(world: World, verify: Verify, tmp_path: Path) -> None:
    root = tmp_path / "results"
    shutil.copytree(world.batch, root / "ward")
    (root / "ward" / "batch.csv").unlink()
    rows = Ledger(world.batch).rows()
    Ledger(root).enter((row.path, f"ward/{name}") for name, row in rows.items())
    for name, row in rows.items():
        Ledger(root).put(replace(row, output=f"ward/{name}"))
    assert not verify(root).faults
    (root / "ward" / "two.geojson").unlink()
    shutil.rmtree(root / "ward" / "one.geojson.run")
    found = verify(root)
    assert kinds(found, root / "ward" / "two.geojson") == {"absent"}
    assert kinds(found, root / "ward" / "one.geojson.run") == {"manifest"}


def test_weights_with_one_other_byte_are_not_those_of_their_card(tmp_path: Path, verify: Verify) -> None:
    for path in BUNDLED.glob("liteunet0x2-nuclei.*"):
        shutil.copy(path, tmp_path)
    weights = tmp_path / "liteunet0x2-nuclei.safetensors"
    assert not verify(weights).faults
    flip(weights)
    assert "card" in kinds(verify(weights), weights)
    cut(weights)
    assert kinds(verify(weights), weights) >= {"damaged", "card"}


def test_trained_weights_are_those_of_their_run(world: World, tmp_path: Path, verify: Verify) -> None:
    from wsi_nucssl.files import sha256_file

    run = tmp_path / "trained"
    run.mkdir()
    (run / "manifest.json").write_text('{"kind": "finetune", "wsi_nucssl_run": 1}')
    weights = run / "model.safetensors"
    shutil.copy(world.weights, weights)
    (run / "done.json").write_text(json.dumps({"model_sha256": sha256_file(weights)}))
    assert not verify(run).faults
    flip(weights, 0.99)
    assert "changed" in kinds(verify(run), weights)


def test_weights_without_a_number_are_named(tmp_path: Path, world: World, verify: Verify) -> None:
    from safetensors import safe_open

    tensors = load_file(world.weights)
    name = next(name for name, tensor in tensors.items() if tensor.dtype == np.float32 and tensor.size > 1)
    tensors[name].flat[1] = np.nan
    with safe_open(world.weights, "numpy") as file:
        save_file(tensors, tmp_path / "nan.safetensors", file.metadata())
    assert kinds(verify(tmp_path / "nan.safetensors"), tmp_path / "nan.safetensors") == {"not-finite"}


def test_a_run_at_work_is_not_called_damaged(world: World, verify: Verify) -> None:
    with locked(world.stopped):
        assert kinds(verify(world.stopped), world.stopped) == {"at-work"}


def test_a_packed_geojson_is_looked_into(world: World, verify: Verify, tmp_path: Path) -> None:
    packed = tmp_path / "alone" / "one.geojson.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress((world.batch / "one.geojson").read_bytes()))
    assert not verify(packed, slide=world.one).faults
    cut(packed)
    assert kinds(verify(packed), packed) == {"damaged"}


def test_an_output_alone_needs_its_slide_for_its_edges(world: World, verify: Verify, tmp_path: Path) -> None:
    alone = tmp_path / "alone" / "one.geojson"
    alone.parent.mkdir()
    shutil.copy(world.batch / "one.geojson", alone)
    edit(alone, lambda f: [p.__setitem__(0, p[0] + 5000) for p in ring(f[3])])
    assert not verify(alone).faults
    assert kinds(verify(alone, slide=world.one), alone) == {"outside"}


def test_files_of_others_are_held_to_what_qupath_reads(tmp_path: Path, verify: Verify) -> None:
    square = [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": square}, "properties": {}}
    path = tmp_path / "theirs.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert not verify(path).faults
    path.write_text(json.dumps([feature]))
    assert kinds(verify(path), path) == {"collection"}


def test_what_is_not_there_or_not_ours_is_said(tmp_path: Path, verify: Verify) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    found = verify(tmp_path / "gone.geojson", tmp_path / "gone", tmp_path / "notes.txt")
    assert [fault.kind for fault in found.faults] == ["absent", "absent", "unknown"]
    (tmp_path / "table.csv").write_text("path,mpp\n")
    zarr.create_group(tmp_path / "theirs.zarr", attributes={"ome": {}})
    (fault,) = verify(tmp_path).faults
    assert fault.kind == "unknown"
    assert "nothing of this package" in fault.what


def test_a_ledger_that_was_emptied_is_seen_by_its_log(world: World, verify: Verify) -> None:
    table = world.batch / "batch.csv"
    table.write_bytes(table.read_bytes().partition(b"\n")[0] + b"\n")
    assert "ledger" in kinds(verify(world.batch), table)


def test_runs_that_were_exchanged_are_seen(world: World, verify: Verify) -> None:
    one, two = world.batch / "one.geojson.run", world.batch / "two.geojson.run"
    one.rename(world.batch / "aside")
    two.rename(one)
    (world.batch / "aside").rename(two)
    found = verify(world.batch)
    assert "exchanged" in kinds(found, one)
    assert "exchanged" in kinds(found, two)


def test_the_folder_that_tile_filled_is_well(world: World, verify: Verify, tmp_path: Path) -> None:
    stores = tmp_path / "stores"
    shutil.copytree(world.store, stores / "one.zarr")
    ledger = Ledger(stores)
    ledger.enter([(str(world.one), "one.zarr")])
    ledger.put(replace(ledger.begin("one.zarr", "")[1], state="done"))
    assert not verify(stores).faults
    (stores / "one.zarr" / "zarr.json").unlink()
    assert verify(stores).faults


def test_what_cannot_be_read_is_a_fault_and_the_others_are_looked_at(
    world: World, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, _claims: object) -> Verdict:
        raise PermissionError(13, "Permission denied", str(path))

    before = len(verify(world.batch).verdicts)
    monkeypatch.setattr("wsi_nucssl.verification.targets.look_at_output", refused)
    found = verify(world.batch)
    assert len(found.verdicts) == before
    assert "unreadable" in kinds(found, world.batch / "one.geojson")


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path, verify: Verify) -> None:
    os.mkfifo(tmp_path / "a.csv")
    (fault,) = verify(tmp_path / "a.csv").faults
    assert "neither a file nor a folder" in fault.what


def test_slides_of_a_folder_that_cannot_be_read_are_left_out(world: World, verify: Verify) -> None:
    (world.slides / "bad.tif").write_bytes(b"nothing")
    assert not verify(world.batch, slide=world.slides).faults
    with pytest.raises(SlideError, match=r"bad\.tif"):
        verify(world.batch, slide=world.slides / "bad.tif")


def test_processes_see_what_one_sees(
    world: World, verify: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsi_nucssl.verification.examination._WORTH_PROCESSES", 0)
    cut(world.batch / "one.parquet")
    alone, together = verify(tmp_path), verify(tmp_path, workers=2)
    assert alone == together
    assert re.search("damaged", together.faults[0].what)
