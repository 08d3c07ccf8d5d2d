"""Bytes by ranges: local files, fsspec's memory, and HTTP servers that behave and that do not."""

from __future__ import annotations

import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import fsspec
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box
from wsi_nucssl.locations import Url, locate
from wsi_nucssl.slide import RGB, identity, open_slide
from wsi_nucssl.slide.source import LocalSource, RemoteSource, as_file, open_source

DATA = np.random.default_rng(0).integers(0, 256, 5000, np.uint8).tobytes()


class Handler(BaseHTTPRequestHandler):
    """Serves `files` by name, as the first folder of the path asks: well, whole, short, or not at all."""

    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[tuple[int, int]]] = []
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one packet

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        manner, data = self._found()
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        if manner != "unmeasured":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()

    def do_GET(self) -> None:
        manner, data = self._found()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if data is None:
            self.send_error(404)
        elif manner == "forbidden" and asked:
            self.send_error(403)
        elif manner == "whole" or not asked:
            self._send(200, data)
        else:
            first, last = int(asked[1]), int(asked[2])
            self.asked.append((first, last + 1 - first))
            self._send(206, data[first : last if manner == "short" else last + 1])

    def _found(self) -> tuple[str, bytes | None]:
        manner, _, name = self.path.partition("?")[0].strip("/").partition("/")
        return manner, self.files.get(name)

    def _send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    request_queue_size = 64  # as many connections as a reader opens at once


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with Server(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def serve(server: str) -> Callable[..., str]:
    """(bytes, name, manner) → the URL of those bytes."""

    def put(data: bytes, name: str = "slide.svs", manner: str = "well") -> str:
        Handler.files[name] = data
        return f"{server}/{manner}/{name}"

    return put


@pytest.fixture
def remember() -> Callable[..., str]:
    """(bytes, name) → their memory:// URL."""

    def put(data: bytes, name: str = "slide.svs") -> str:
        url = f"memory://sources/{name}"
        with fsspec.open(url, "wb") as file:
            file.write(data)
        return url

    return put


@pytest.fixture(params=["file", "memory", "http"])
def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    remember: Callable[..., str],
    serve: Callable[..., str],
) -> Callable[[bytes], str]:
    """bytes → where they lie now."""

    def put(data: bytes) -> str:
        if request.param == "memory":
            return remember(data)
        if request.param == "http":
            return serve(data)
        (tmp_path / "slide.svs").write_bytes(data)
        return str(tmp_path / "slide.svs")

    return put


def test_reads_exactly_what_is_asked_for(place: Callable[[bytes], str]) -> None:
    source = open_source(locate(place(DATA)))
    assert source.size == len(DATA)
    for offset, count in ((0, 1), (0, 5000), (17, 100), (4999, 1), (30, 0)):
        assert source.read_at(offset, count) == DATA[offset : offset + count]
    ranges = [(offset, 90) for offset in range(0, 4900, 100)]
    assert source.read_many(ranges) == [DATA[offset : offset + 90] for offset, _ in ranges]
    assert source.read_many([]) == []
    with pytest.raises(SlideError, match=r"slide\.svs"):
        source.read_at(4990, 20)
    source.close()
    source.close()


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-100, 6000), st.integers(0, 3000)), max_size=12))
def test_a_source_as_a_file_is_a_file(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[int, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("file") / "data"
    path.write_bytes(DATA)
    source = LocalSource(path)
    with as_file(source) as ours, path.open("rb") as reference:
        for whence, offset, count in moves:
            start = (0, reference.tell(), len(DATA))[whence]
            if start + offset >= 0:
                assert ours.seek(offset, whence) == reference.seek(offset, whence)
            assert ours.read(count) == reference.read(count)
    source.close()


@pytest.mark.parametrize("name", ["pyramid", "odd_svs"])
def test_a_slide_is_the_same_by_url(
    request: pytest.FixtureRequest, name: str, place: Callable[[bytes], str]
) -> None:
    path = request.getfixturevalue(name)
    url = place(path.read_bytes())
    with open_slide(path) as local, open_slide(url) as remote:
        assert remote.reader == "tiff"
        assert remote.levels == local.levels
        assert remote.properties == local.properties
        assert remote.mpp == local.mpp
        assert remote.path.name == "slide.svs"
        for level, box in ((0, Box(100, 50, 800, 700)), (1, Box(-20, 0, 500, 300))):
            assert np.array_equal(remote.read_level(level, box), local.read_level(level, box))
        assert identity(remote) == identity(local) == identity(url) == identity(path)


def test_associated_images_and_real_files_by_url(cmu_slide: Path, serve: Callable[..., str]) -> None:
    Handler.asked.clear()
    with open_slide(cmu_slide) as local, open_slide(serve(cmu_slide.read_bytes())) as remote:
        on_opening = sum(count for _, count in Handler.asked)
        assert on_opening < cmu_slide.stat().st_size / 2
        assert remote.associated_images == local.associated_images
        for name in local.associated_images:
            assert np.array_equal(remote.associated_image(name), local.associated_image(name))
        box = Box(500, 700, 1300, 1500)
        assert np.array_equal(remote.read_level(0, box), local.read_level(0, box))


def test_stored_tiles_are_fetched_alone_and_once(pyramid: Path, serve: Callable[..., str]) -> None:
    with tifffile.TiffFile(pyramid) as tiff:
        page = tiff.pages[0].aspage()
        tiles = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    with open_slide(serve(pyramid.read_bytes())) as slide:
        Handler.asked.clear()
        slide.read_level(0, Box(130, 10, 500, 100))
        slide.read_level(0, Box(128, 0, 500, 128))
        assert sorted(Handler.asked) == sorted(tiles[1:4])


@pytest.mark.parametrize(
    ("manner", "says"),
    [
        ("whole", "the server gave .* bytes.*requests for ranges"),
        ("short", "asked for bytes 0 to .*, the server gave"),
        ("forbidden", "cannot be read .*403"),
    ],
)
def test_a_server_that_does_not_give_ranges(
    pyramid: Path, serve: Callable[..., str], manner: str, says: str
) -> None:
    url = serve(pyramid.read_bytes(), manner=manner)
    with pytest.raises(SlideError, match=says) as caught:
        open_slide(url)
    assert caught.value.path == url
    assert caught.value.remedy


def test_a_server_that_does_not_say_the_size(
    serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "do_GET", Handler.do_HEAD)
    with pytest.raises(SlideError, match=r"does not say how long it is\. Download it"):
        open_slide(serve(DATA, manner="unmeasured"))


def test_what_is_not_there(server: str, remember: Callable[..., str]) -> None:
    signed = server.replace("//", "//ann:pass@") + "/well/gone.svs?sig=5ecret"
    for url, says in (
        (signed, r"it is not there or cannot be reached \(.*404"),
        ("http://127.0.0.1:9/x.svs", "cannot be reached .*ClientConnector"),
        ("memory://sources/gone.svs", r"it is not there .*FileNotFoundError"),
    ):
        with pytest.raises(SlideError, match=says) as caught:
            open_slide(url)
        assert "5ecret" not in str(caught.value) + repr(caught.value.__cause__)
        assert "pass" not in str(caught.value)
    remember(DATA, "folder/slide.svs")
    with pytest.raises(SlideError, match="it is a folder"):
        open_slide("memory://sources/folder")
    with pytest.raises(SlideError, match="the file is empty"):
        open_slide(remember(b"", "empty.svs"))


def test_a_connection_that_breaks_off_is_named(
    pyramid: Path, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(handler: Handler) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    with open_slide(serve(pyramid.read_bytes())) as slide:
        monkeypatch.setattr(Handler, "do_GET", break_off)
        with pytest.raises(SlideError, match=r"bytes \d+ to \d+ cannot be read .*Try again"):
            slide.read_level(0, Box(0, 0, 10, 10))
        monkeypatch.undo()
        assert slide.read_level(0, Box(0, 0, 10, 10)).shape == (10, 10, 3)


@pytest.mark.parametrize("name", ["pyramid", "odd_svs"])
def test_whichever_request_fails_the_slide_is_refused_or_whole(
    request: pytest.FixtureRequest, name: str, remember: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries that read through a source may drop what they could not read; that must not pass for a slide."""
    path = request.getfixturevalue(name)
    with open_slide(path) as slide:
        levels = slide.levels
    url = Url(remember(path.read_bytes()))
    files = type(RemoteSource(url)._files)
    whole, calls = files.cat_file, [0]

    def failing(self: object, *wanted: object, **how: object) -> bytes:
        calls[0] -= 1
        if calls[0] == 0:
            raise OSError("connection lost")
        content: bytes = whole(self, *wanted, **how)
        return content

    refusals: list[str] = []
    monkeypatch.setattr(RemoteSource, "read_ahead", 512)
    monkeypatch.setattr(files, "cat_file", failing)
    for request_number in range(1, 200):
        calls[0] = request_number
        try:
            with open_slide(str(url)) as slide:
                assert slide.levels == levels
        except SlideError as error:
            refusals.append(str(error))
        if calls[0] > 0:  # fewer requests than that
            break
    assert 4 < len(refusals) < 199
    assert all("connection lost" in refusal for refusal in refusals)


def test_a_bug_in_a_file_system_is_not_the_slides_error(
    remember: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> bytes:
        raise AttributeError("a bug")

    source = RemoteSource(Url(remember(DATA)))
    monkeypatch.setattr(type(source._files), "cat_file", broken)
    with pytest.raises(AttributeError, match="a bug"):
        source.read_at(0, 10)


@pytest.mark.parametrize(("protocol", "package"), [("s3", "s3fs"), ("https", "aiohttp")])
def test_a_missing_package_is_named(protocol: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    monkeypatch.delitem(import_module("fsspec.registry")._registry, protocol, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        SlideError, match=rf"{protocol}://b/x\.svs: its protocol needs.*pip install {package}"
    ):
        open_slide(f"{protocol}://b/x.svs")


def test_an_unknown_protocol(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match=r"nonsense://x\.svs: .*Choose s3://"):
        open_slide("nonsense://x.svs")
    with pytest.raises(SlideError, match="Give the URL as text: a Path drops one of its slashes"):
        open_slide(Path("s3://b/x.svs"))
    with pytest.raises(SlideError, match=r"gone\.svs: there is no such file. Check the path"):
        open_slide(tmp_path / "gone.svs")


def test_what_only_openslide_reads_must_be_downloaded(remember: Callable[..., str]) -> None:
    with pytest.raises(
        SlideError, match="Download it first: tiled TIFF, SVS and plain images are read by URL"
    ):
        open_slide(remember(b"[Virtual Microscope Specimen]\n" * 9, "a.vms"))


def test_a_tiff_that_only_others_read_must_be_downloaded(
    remember: Callable[..., str], tmp_path: Path, pattern: Callable[[int, int], RGB]
) -> None:
    path = tmp_path / "oblique.tif"
    with tifffile.TiffWriter(path) as tiff:
        for width in (128, 64):
            page = pattern(width, 128)
            tiff.write(page, photometric="rgb", tile=(64, 64), subfiletype=int(width < 128), metadata=None)
    with pytest.raises(
        SlideError, match=r"no reduced copy.*tiffslide takes local files alone.*Download it first"
    ):
        open_slide(remember(path.read_bytes(), "oblique.tif"))
