"""Damaged pictures, libraries that crash over a file, odd names, and what is no file at all."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.slide.damage import Writer, read, refused
from wsi_nucssl.errors import SlideError
from wsi_nucssl.slide import RGB, open_slide
from wsi_nucssl.slide.readers import guard


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("spoil", ["cut", "zeros", "bit"])
def test_a_plain_image_with_damage_is_refused(
    tmp_path: Path, pattern: Callable[[int, int], RGB], kind: str, spoil: str
) -> None:
    path = tmp_path / "image"
    Image.fromarray(pattern(300, 260)).save(path, kind)
    assert read(path).shape == (260, 300, 3)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    if spoil == "cut":
        data = data[: len(data) * 9 // 10]
    elif spoil == "zeros":
        data[middle : middle + 512] = bytes(512)
    elif kind == "PNG":
        data[middle] ^= 1
    else:
        data[middle : middle + 2] = b"\xff\xd9"
    path.write_bytes(data)
    assert "Copy or export it again" in refused(path, "the image is damaged")


def test_a_library_that_crashes_hangs_or_swells_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "slide"
    children = {
        "crashed": "import os; os.abort()",
        "took longer than 1 s": "while True: pass",
        "asks for more than": "print('memory')",
        "ended with code 3": "import sys; sys.exit(3)",
    }
    for number, (says, code) in enumerate(children.items()):
        path.write_bytes(b"x" * (number + 1))  # what was tried is remembered until the file changes
        monkeypatch.setattr(guard, "_CHILD", code)
        with pytest.raises(SlideError, match=says):
            guard.knows(path, seconds=1)


def test_openslide_is_asked_in_a_child_once_a_file(pyramid: Path, tmp_path: Path) -> None:
    guard._tried.cache_clear()
    assert guard.knows(pyramid)
    assert guard.knows(pyramid)
    assert guard._tried.cache_info().hits == 1
    other = tmp_path / "no slide"
    other.write_text("words")
    assert not guard.knows(other)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_a_socket_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "socket", Path("/dev/null")):
            refused(path, "it is a pipe, socket or device")


def test_names_of_every_kind_open_or_are_refused(tiff: Writer, tmp_path: Path) -> None:
    data = tiff(compression="deflate").read_bytes()
    names = [
        os.fsdecode(b"caf\xe9.tif"),
        "n" * 251 + ".tif",
        "new\nline\t\x01.tif",
        " ",
        "%41#?.tif",
        "ü–𝛼.tif",
    ]
    for name in names:
        path = tmp_path / name
        path.write_bytes(data)
        for reader in ("tiff", "openslide", "tiffslide"):
            if reader == "tiff" or name.isprintable():
                assert read(path, reader=reader).shape == (260, 300, 3)
                continue
            with contextlib.suppress(SlideError):  # what its library does not take
                read(path, reader=reader)
    for name in ("n" * 300, "null\0character"):
        with pytest.raises(SlideError):
            open_slide(tmp_path / name)
