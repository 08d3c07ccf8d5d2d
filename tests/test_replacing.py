"""Killed before any step that changes a disk, a replacement leaves the old or the new, whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wsi_nucssl import files
from wsi_nucssl.errors import OutputError
from wsi_nucssl.files import atomic_path, restore, write_atomic

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
    return {each.relative_to(path).as_posix(): each.read_text() for each in path.rglob("*") if each.is_file()}


def test_a_file_is_old_or_new_at_every_step(tmp_path: Path) -> None:
    path, number = tmp_path / "file", 1
    write_atomic(path, "old")
    while die_at(number, lambda: write_atomic(path, "new")):
        assert path.read_text() in ("old", "new")
        write_atomic(path, "old")
        number += 1
    assert number > 5
    assert path.read_text() == "new"


@pytest.mark.parametrize("exchanges", [True, False])
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
