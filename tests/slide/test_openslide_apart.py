"""OpenSlide crashes or hangs over a tile: that slide fails by name, and nothing else does."""

from __future__ import annotations

import contextlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from wsi_nucssl.cohort import for_each_slide
from wsi_nucssl.errors import SlideError, SomeSlidesFailed
from wsi_nucssl.geometry import Box
from wsi_nucssl.locations import Location
from wsi_nucssl.slide import open_slide
from wsi_nucssl.slide.readers import openslide_child

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")

GOOD, BAD = Box(0, 0, 200, 200), Box(256, 256, 400, 400)
FAULTS = {
    "os.abort()": "crashed (signal 6",
    "os.kill(os.getpid(), signal.SIGSEGV)": "crashed (signal 11",
    "exec('while True: pass')": "took longer than 1 s",
    "os._exit(3)": "ended with code 3",
}


def _break(patch: pytest.MonkeyPatch, fault: str) -> None:
    """What OpenSlide does over the region that lies at (256, 256)."""
    spoilt = f"def read(what, *where):\n    if where[:2] == (256, 256): {fault}\n"
    patch.setattr(
        openslide_child,
        "_CHILD",
        openslide_child._CHILD.replace("def read(what, *where):\n", spoilt),
    )
    patch.setattr(openslide_child, "READ_SECONDS", 1)


@pytest.mark.parametrize(("fault", "says"), FAULTS.items())
def test_a_tile_that_ends_openslide_is_an_error_and_others_are_read(
    pyramid: Path, monkeypatch: pytest.MonkeyPatch, fault: str, says: str
) -> None:
    with open_slide(pyramid, reader="tiff") as slide:
        truth = slide.read_level(0, GOOD)
    _break(monkeypatch, fault)
    with open_slide(pyramid, reader="openslide") as slide:
        for _ in range(2):
            assert np.array_equal(slide.read_level(0, GOOD), truth)
            with pytest.raises(SlideError) as caught:
                slide.read_level(0, BAD)
            assert says in caught.value.what
            assert (caught.value.path, bool(caught.value.remedy)) == (str(pyramid), True)


def test_the_batch_goes_on(pyramid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _break(monkeypatch, "os.abort()")
    read: list[Location] = []

    def work(path: Location) -> None:
        with open_slide(path, reader="openslide") as slide:
            slide.read_level(0, BAD if path == pyramid else GOOD)
            read.append(path)

    other = tmp_path / "other.tif"
    other.write_bytes(pyramid.read_bytes())
    failed: list[Location] = []
    with pytest.raises(SomeSlidesFailed):
        for_each_slide([pyramid, other], work, lambda path, _: failed.append(path))
    assert (failed, read) == ([pyramid], [other])


def test_threads_read_in_processes_of_their_own_and_closing_ends_them(pyramid: Path) -> None:
    with open_slide(pyramid, reader="openslide") as slide:
        truth = slide.read_level(0, GOOD)
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(lambda _: slide.read_level(0, GOOD), range(40)):
                assert np.array_equal(found, truth)
        children = slide._children._free  # type: ignore[attr-defined]
        processes = [child._child for child in children]
        assert 1 <= len(processes) <= 4
    assert all(process.returncode is not None for process in processes)
    with pytest.raises(SlideError, match="closed"):
        slide.read_level(0, GOOD)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_has_children_of_its_own(pyramid: Path) -> None:
    with open_slide(pyramid, reader="openslide") as slide:
        truth = slide.read_level(0, GOOD)
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                os._exit(0 if np.array_equal(slide.read_level(0, GOOD), truth) else 1)
            os._exit(2)
        assert np.array_equal(slide.read_level(0, GOOD), truth)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert np.array_equal(slide.read_level(0, GOOD), truth)
