"""Files are whole or absent, one writer at a time, under names that every file system takes."""

from __future__ import annotations

import errno
import hashlib
import os
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_nucssl.errors import OutputError, OutputLocked, ResourceError
from wsi_nucssl.files import (
    atomic_path,
    disk_errors,
    remove_partials,
    remove_tree,
    safe_stem,
    sha256_file,
    sha256_tree,
    write_atomic,
)
from wsi_nucssl.locks import locked


@settings(max_examples=25, deadline=None)
@given(first=st.binary(max_size=200), second=st.text(max_size=50))
def test_the_last_whole_write_is_there(
    tmp_path_factory: pytest.TempPathFactory, first: bytes, second: str
) -> None:
    path = tmp_path_factory.mktemp("write") / "new" / "file"
    write_atomic(path, first)
    assert path.read_bytes() == first
    assert sha256_file(path) == hashlib.sha256(first).hexdigest()
    write_atomic(path, second)
    assert path.read_bytes() == second.encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def fail() -> None:
        with atomic_path(path) as partial:
            partial.write_text("half of the new")
            assert partial.parent == path.parent
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, ResourceError),
        (errno.EDQUOT, ResourceError),
        (errno.EFBIG, ResourceError),
        (errno.EACCES, OutputError),
        (errno.EROFS, OutputError),
        (errno.ENOTDIR, OutputError),
        (errno.EIO, OutputError),
        (errno.ENOENT, OutputError),
        (errno.ESTALE, OutputError),
        (errno.EPIPE, OSError),
    ],
)
def test_trouble_with_the_disk_names_the_file(number: int, error: type[Exception]) -> None:
    with pytest.raises(error) as caught, disk_errors(Path("here")):
        raise OSError(number, os.strerror(number))
    assert error is OSError or "here" in str(caught.value)


def test_places_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "x", tmp_path / "folder", tmp_path / ("x" * 300)):
        with pytest.raises(OutputError, match="cannot be written"):
            write_atomic(path, "data")
    with pytest.raises(OutputError), locked(tmp_path / "file"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_partials_of_one_file_or_of_all(tmp_path: Path) -> None:
    names = [".a[1].geojson.0123abcd.partial", ".b.geojson.0123abcd.partial", ".b.partial", "b.geojson"]
    for name in names:
        (tmp_path / name).touch()
    remove_partials(tmp_path, "a[1].geojson")
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])
    remove_partials(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names[2:])


def test_partials_are_found_by_their_real_names(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "n.geojson") as partial:
        partial.touch()
        remove_partials(tmp_path, "n.geojson")
        assert not partial.exists()
        partial.touch()


def test_one_writer(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        with pytest.raises(OutputLocked), locked(tmp_path / "run"):
            pass
        with locked(tmp_path / "other"):
            pass
    with locked(tmp_path / "run"):
        pass


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
def test_safe_names(name: str) -> None:
    safe = safe_stem(Path(name))
    assert safe
    assert not safe.startswith(".")
    assert not set(safe) & set(
        string.punctuation.translate({ord(c): None for c in "._-"}) + string.whitespace
    )
    assert Path(safe).name == safe
    assert safe_stem(Path("/x/TCGA-CR_1.v2.svs")) == "TCGA-CR_1.v2"


def test_removing_what_may_be_absent(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    remove_tree(tmp_path / "a")
    remove_tree(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def write_folder(path: Path, **files: str) -> None:
    with atomic_path(path) as partial:
        (partial / "deep").mkdir(parents=True)
        for name, text in files.items():
            (partial / "deep" / name).write_text(text)


def test_a_folder_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    write_folder(path, a="1", b="2")
    first = sha256_tree(path)
    assert sorted(file.name for file in (path / "deep").iterdir()) == ["a", "b"]

    def fail() -> None:
        with atomic_path(path) as partial:
            partial.mkdir()
            (partial / "half").write_text("of the new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert sha256_tree(path) == first
    write_folder(path, c="3")
    assert [file.name for file in (path / "deep").iterdir()] == ["c"]
    assert list(tmp_path.iterdir()) == [path]


def test_the_hash_of_a_folder_is_of_names_and_bytes(tmp_path: Path) -> None:
    contents = ({"a": "1", "b": "2"}, {"a": "2", "b": "1"}, {"a": "1", "c": "2"}, {"a": "1", "b": "3"})
    for number, files in enumerate(contents):
        write_folder(tmp_path / str(number), **files)
    assert len({sha256_tree(tmp_path / str(number)) for number in range(4)}) == 4
    write_folder(tmp_path / "again", b="2", a="1")
    assert sha256_tree(tmp_path / "again") == sha256_tree(tmp_path / "0")
    file = tmp_path / "0" / "deep" / "a"
    assert sha256_tree(file) == sha256_file(file)


def test_folders_that_killed_writers_left_are_removed(tmp_path: Path) -> None:
    left = tmp_path / ".folder.0a1b2c3d.partial" / "deep"
    left.mkdir(parents=True)
    (left / "file").write_text("half")
    remove_partials(tmp_path, "folder")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_removed_though_somebody_still_writes_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a worker does that ends its task late, whose bytes nobody needs any more."""
    folder, late, rmdir = tmp_path / "c", iter(range(3)), os.rmdir
    folder.mkdir()

    def write_first(path: str, **how: int) -> None:
        if (number := next(late, None)) is not None:
            (folder / f"{number}").touch()
        rmdir(path, **how)

    monkeypatch.setattr(os, "rmdir", write_first)
    remove_tree(folder)
    assert not folder.exists()
    assert next(late, None) is None
