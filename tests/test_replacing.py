"""Killed before any step that changes a disk, a replacement leaves the old or the new, whole."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wsi_nucssl import files
from wsi_nucssl.errors import OutputError, RunMismatch
from wsi_nucssl.files import atomic_path, restore, write_atomic
from wsi_nucssl.runs import MANIFEST, place_of_work, run_directory

_STEPS = {
    "open",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.scandir",
    "os.listdir",
    "os.chmod",
    "os.truncate",
}
_DIED = 77


def die_at(number: int, job: Callable[[], object]) -> bool:
    """Run `job` in a child that dies before its step `number`; False if it ended before that."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == _DIED
    left = [number]

    def step(*_: object) -> None:
        left[0] -= 1
        if not left[0]:
            os._exit(_DIED)

    sys.addaudithook(lambda event, _: step() if event in _STEPS else None)
    exchange, fsync = files._exchange, os.fsync
    files._exchange = lambda one, other: (step(), exchange(one, other))[1]  # type: ignore[func-returns-value]
    os.fsync = lambda handle: (step(), fsync(handle))[1]  # type: ignore[func-returns-value,assignment]
    job()
    os._exit(0)


def write_tree(path: Path, text: str) -> None:
    with atomic_path(path) as partial:
        (partial / "deep").mkdir(parents=True)
        for name in ("a", "deep/b", "deep/c"):
            (partial / name).write_text(text)


def tree(path: Path) -> dict[str, str]:
    files_in = (each for each in path.rglob("*") if each.is_file() and each.name != ".lock")
    return {each.relative_to(path).as_posix(): each.read_text() for each in files_in}


def test_a_file_is_old_or_new_at_every_step(tmp_path: Path) -> None:
    path, number = tmp_path / "file", 1
    write_atomic(path, "old")
    while die_at(number, lambda: write_atomic(path, "new")):
        assert path.read_text() in ("old", "new")
        write_atomic(path, "old")
        number += 1
    assert number > 5
    assert path.read_text() == "new"


@pytest.mark.parametrize("exchanges", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_folder_is_old_or_new_at_every_step(
    tmp_path: Path, exchanges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    path, number, absent = tmp_path / "folder", 1, 0
    write_tree(path, "old")
    old = tree(path)
    new = dict.fromkeys(old, "new")
    while die_at(number, lambda: write_tree(path, "new")):
        absent += not path.exists()
        restore(path)
        assert tree(path) in (old, new)
        write_tree(path, "old")
        number += 1
    assert number > 20
    assert absent == (0 if exchanges else 1)
    assert tree(path) == new


def test_a_folder_steps_back_if_the_new_one_cannot_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    path = tmp_path / "folder"
    write_tree(path, "old")
    rename = Path.rename

    def refuse(one: Path, other: Path) -> Path:
        if one.suffix == ".partial":
            raise OSError(5, "Input/output error")
        return rename(one, other)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match="Input/output"):
        write_tree(path, "new")
    assert set(tree(path).values()) == {"old"}
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


_WEIGHTS = "weights"


def make_run(path: Path, content: str, *, resume: bool = False, overwrite: bool = False) -> None:
    """As a training: a state on the way, weights more than once, and a folder."""
    with run_directory(
        path, {"content": content}, resume=resume, overwrite=overwrite, keep=_WEIGHTS
    ) as place:
        write_atomic(place / _WEIGHTS, f"half of {content}")
        write_tree(place / "pictures", content)
        write_atomic(place / _WEIGHTS, content)


def run_at(path: Path) -> tuple[str, str]:
    return json.loads((path / MANIFEST).read_text())["content"], (path / _WEIGHTS).read_text()


@pytest.mark.parametrize("exchanges", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_run_is_old_or_new_at_every_step(
    tmp_path: Path, exchanges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    path, number, absent, kept, new = tmp_path / "run", 1, 0, 0, 0
    make_run(path, "old")
    whole = {name: text.replace("old", "new") for name, text in tree(path).items()}
    while die_at(number, lambda: make_run(path, "new", overwrite=True)):
        absent += not path.exists()
        restore(path)
        assert run_at(path) in (("old", "old"), ("new", "new"))
        kept, new = kept + (run_at(path)[0] == "old"), new + (run_at(path)[0] == "new")
        begun = place_of_work(path) != path and (place_of_work(path) / MANIFEST).exists()
        again = {"resume": True} if begun or run_at(path)[0] == "new" else {"overwrite": True}
        make_run(path, "new", **again)
        assert tree(path) == whole
        assert [each.name for each in tmp_path.iterdir()] == ["run"]
        make_run(path, "old", overwrite=True)
        number += 1
    assert absent == (0 if exchanges else 1)
    assert kept > 30
    assert new > 5
    assert tree(path) == whole


def test_a_run_without_weights_is_emptied_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with run_directory(path, {}, resume=False, overwrite=False, keep=_WEIGHTS) as place:
        (place / "state").touch()
    with run_directory(path, {}, resume=False, overwrite=True, keep=_WEIGHTS) as place:
        assert place == path
        assert not (path / "state").exists()


def test_a_run_that_replaces_another_is_resumed_with_its_own_settings_alone(tmp_path: Path) -> None:
    path = tmp_path / "run"
    make_run(path, "old")
    with (
        pytest.raises(KeyboardInterrupt),
        run_directory(path, {"content": "new"}, resume=False, overwrite=True, keep=_WEIGHTS),
    ):
        raise KeyboardInterrupt
    with pytest.raises(RunMismatch):
        make_run(path, "old", resume=True)
    make_run(path, "newest", overwrite=True)
    assert run_at(path) == ("newest", "newest")
    assert [each.name for each in tmp_path.iterdir()] == ["run"]
