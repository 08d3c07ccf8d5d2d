"""Slides in folders: what is taken, what is left out and said, and what each slide's outputs are called."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.files import write_atomic
from wsi_nucssl.locations import Url
from wsi_nucssl.naming import with_names
from wsi_nucssl.outputs import check_output
from wsi_nucssl.pictures import is_ours, png
from wsi_nucssl.runs import run_directory
from wsi_nucssl.slide import open_slide
from wsi_nucssl.slide.finding import UNREADABLE, slide_endings, slides_in
from wsi_nucssl.slide.inputs import gather_slides
from wsi_nucssl.slide_list import ListedSlide


def _make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def _found(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in slides_in(folder).slides]


def test_endings_are_those_of_the_readers() -> None:
    assert {".svs", ".tif", ".ndpi", ".mrxs", ".dcm", ".png", ".jpg"} <= slide_endings()


def test_known_endings_in_all_folders_in_order(tmp_path: Path) -> None:
    _make(tmp_path, "b/x.SVS", "b/a/y.ndpi", "a.tif", "c.txt", "notes", "b/z.xml", "c.svs.part", ".svs")
    found = slides_in(tmp_path)
    assert _found(tmp_path) == ["a.tif", "b/a/y.ndpi", "b/x.SVS"]
    assert found.left_out == {".txt": 1, ".xml": 1, "without ending": 1, ".part": 1, "hidden": 1}
    assert found.message == (
        f"{tmp_path}: 3 slides; left out: 1 .part, 1 .txt, 1 .xml, 1 hidden, 1 without ending"
    )


def test_what_is_ours_is_no_input(tmp_path: Path) -> None:
    _make(tmp_path, "a.svs", "tiles/a.zarr/0/c.png", "results/a.geojson", "results/batch.csv")
    with run_directory(tmp_path / "results" / "a.geojson.run", {}, resume=False, overwrite=False) as run:
        _make(run, "overlays/worst.png")
    picture = png(np.zeros((4, 5, 3), np.uint8))
    write_atomic(tmp_path / "look.png", picture)
    found = slides_in(tmp_path)
    assert _found(tmp_path) == ["a.svs"]
    assert found.left_out == {"results of ours": 2, "zarr stores": 1, ".geojson": 1, ".csv": 1}
    assert found.stores == (tmp_path / "tiles" / "a.zarr",)
    assert found.message_with_stores == (
        f"{tmp_path}: 1 slide, 1 store; left out: 2 results of ours, 1 .csv, 1 .geojson"
    )
    for ours in ("results/a.geojson.run", "tiles/a.zarr"):
        with pytest.raises(InputError, match="a run or a store"):
            slides_in(tmp_path / ours)


def test_a_picture_of_ours_is_a_picture(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    write_atomic(tmp_path / "a.png", png(image))
    assert is_ours(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png", mpp=0.25) as slide:
        assert np.array_equal(slide.thumbnail(40), image)


def test_companions_of_slides_are_left_out(tmp_path: Path) -> None:
    _make(tmp_path, "a.mrxs", "a/Slidedat.ini", "a/Data0001.dat", "a/thumb.png")
    _make(
        tmp_path, "b.svs", "b.png", "b_label.jpg", "b-macro.png", "b.svs.thumbnail.png", "b_mask.tif", "c.png"
    )
    _make(tmp_path, "v.vms", "v.jpg", "v(1,0).jpg", "v_map2.jpg")
    (tmp_path / "v.vms").write_text(
        "[Virtual Microscope Specimen]\nImageFile=v.jpg\nMapFile=v_map2.jpg\nI=v(1,0).jpg\n"
    )
    _make(tmp_path, "q/project.qpproj", "q/data/1/thumbnail.jpg", "q/slide.ndpi")
    assert _found(tmp_path) == ["a.mrxs", "b.svs", "c.png", "q/slide.ndpi", "v.vms"]
    assert slides_in(tmp_path).left_out["parts of slides"] == 10


def test_annotations_beside_images_are_left_out(tmp_path: Path) -> None:
    _make(
        tmp_path,
        "set/images/a.png",
        "set/labels/a.png",
        "set/masks/a.png",
        "labels/b.png",
        "p.png",
        "p_label.png",
    )
    assert _found(tmp_path) == ["labels/b.png", "p.png", "set/images/a.png"]
    assert slides_in(tmp_path).left_out == {"annotations of images": 2, "parts of slides": 1}


def test_a_dicom_series_is_one_slide(tmp_path: Path) -> None:
    for name, series, size in [
        ("1", b"1.2.3 ", 10),
        ("2", b"1.2.3 ", 900),
        ("3", b"1.2.4\0", 5),
        ("4", b"1.2.4\0", 5),
    ]:
        tag = b"\x20\x00\x0e\x00UI" + len(series).to_bytes(2, "little") + series
        (tmp_path / f"{name}.dcm").write_bytes(bytes(128) + b"DICM" + tag + bytes(size))
    _make(tmp_path, "unlike.dcm")
    assert _found(tmp_path) == ["2.dcm", "3.dcm", "unlike.dcm"]
    assert slides_in(tmp_path).left_out == {"parts of slides": 2}


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
def test_links_and_what_is_no_file(tmp_path: Path) -> None:
    _make(tmp_path / "far", "a.svs")
    here = tmp_path / "here"
    here.mkdir()
    (here / "linked").symlink_to(tmp_path / "far")
    (here / "again").symlink_to(tmp_path / "far")
    (here / "round").symlink_to(here)
    (here / "lost.svs").symlink_to(tmp_path / "nowhere.svs")
    os.mkfifo(here / "pipe.svs")
    assert _found(here) == ["again/a.svs", "lost.svs"]
    assert slides_in(here).left_out == {"no regular files": 1}


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_link_to_itself_fails_by_name_when_its_turn_comes(tmp_path: Path) -> None:
    _make(tmp_path, "a.svs")
    (tmp_path / "b.svs").symlink_to("b.svs")
    assert _found(tmp_path) == ["a.svs", "b.svs"]
    assert [each.slide.name for each in gather_slides([tmp_path]).slides] == ["a.svs", "b.svs"]
    check_output(tmp_path / "c.geojson", inputs=[tmp_path / "b.svs"], overwrite=False)


def test_folders_that_may_not_be_read_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever question about them is refused; the tests may run as root, whom nothing is refused."""
    _make(tmp_path, "a.svs", "closed/b.svs", "open/c.svs")
    stat = Path.stat

    def refused(path: Path, **how: Any) -> os.stat_result:
        if path.parent.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", refused)
    assert _found(tmp_path) == ["a.svs", "open/c.svs"]
    assert slides_in(tmp_path).left_out == {UNREADABLE: 1}


def _names(*slides: str, folders: tuple[str, ...] = ()) -> list[str]:
    listed = [ListedSlide(Path(each)) for each in slides]
    return [each.output for each in with_names(listed, map(Path, folders))]


def test_outputs_lie_like_their_slides() -> None:
    assert _names("/d/s/a.svs", "/e/b.svs") == ["a", "b"]
    assert _names("/d/s/a.svs", "/d/t/a.svs", "/d/b.svs") == ["s/a", "t/a", "b"]
    assert _names("/d/s/a.svs", "/d/s/t/b.svs", folders=("/d/s",)) == ["a", "t/b"]
    assert _names("/d/s/a.svs", folders=("/d/s", "/d/t")) == ["s/a"]
    assert _names("/d/a.svs", "/d/a.tif", "/d/b.svs") == ["a.svs", "a.tif", "b"]
    assert _names("/d/m y/a.svs", "/d/../d/t/a.svs") == ["m_y/a", "t/a"]
    assert _names("x/a.svs", "./y/a.svs") == ["x/a", "y/a"]


def test_no_output_is_called_as_the_batchs_own_files() -> None:
    assert _names("/d/batch.svs") == ["batch.svs"]
    assert _names("/d/Batch.tif", "/d/b.svs", folders=("/d",)) == ["Batch.tif", "b"]
    assert _names("/d/s/batch.svs", "/d/a.svs", folders=("/d",)) == ["s/batch", "a"]


def test_names_that_are_alike_once_safe_are_numbered() -> None:
    assert _names("/d/a_b.svs", "/d/a b.svs") == ["a_b.svs-2", "a_b.svs"]
    assert _names("/d/a_b.svs", "/d/a b.svs", "/d/a+b.svs", "/d/c.svs") == [
        "a_b.svs-3", "a_b.svs", "a_b.svs-2", "c"
    ]  # fmt: skip
    listed = [
        ListedSlide(Path("/d/a.svs"), output="a_b.svs"),
        *map(ListedSlide, map(Path, ("a b.svs", "a_b.svs"))),
    ]
    assert next(each.output for each in with_names(listed)) == "a_b.svs"
    assert len({each.output for each in with_names(listed)}) == 3


def test_urls_lie_like_their_slides_too() -> None:
    slides = [ListedSlide(Url(f"s3://bucket/{name}")) for name in ("x/a.svs", "y/a.svs")]
    named = with_names([*slides, ListedSlide(Path("/d/b.svs"), output="mine")])
    assert [each.output for each in named] == ["x/a", "y/a", "mine"]


_PARTS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4)


@given(st.lists(_PARTS, min_size=1, max_size=12, unique_by=tuple), st.randoms())
def test_names_are_different_and_know_no_order(places: list[list[str]], random: object) -> None:
    slides = [ListedSlide(Path("/data", *parts).with_suffix(".svs")) for parts in places]
    named = {each.slide: each.output for each in with_names(slides)}
    assert len({*named.values()}) == len(slides)
    random.shuffle(slides)  # type: ignore[attr-defined]
    assert {each.slide: each.output for each in with_names(slides)} == named


def test_files_folders_and_lists_in_any_mix(tmp_path: Path) -> None:
    _make(tmp_path, "s/a.svs", "s/b.svs", "c.svs")
    (tmp_path / "list.csv").write_text("path,mpp\ns,0.5\nc.svs,\n")
    inputs = gather_slides([tmp_path / "s", tmp_path / "s" / "a.svs"], tmp_path / "list.csv")
    assert [(each.slide.name, each.mpp, each.output) for each in inputs.slides] == [
        ("a.svs", 0.5, "s/a"),
        ("b.svs", 0.5, "s/b"),
        ("c.svs", None, "c"),
    ]


def test_a_folder_without_slides(tmp_path: Path) -> None:
    _make(tmp_path, "empty/a.txt", "c.svs")
    with pytest.raises(InputError, match=r"0 slides; left out: 1 \.txt"):
        gather_slides([tmp_path / "empty"])
    both = gather_slides([tmp_path / "empty", tmp_path / "c.svs"])
    assert [each.slide.name for each in both.slides] == ["empty", "c.svs"]  # and fails by name


class _Input(io.TextIOWrapper):
    def __init__(self, content: bytes, *, is_terminal: bool = False) -> None:
        super().__init__(io.BytesIO(content))
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(
    "content",
    [
        b"c.svs\ns/a.svs\n",
        b"c.svs\0s/a.svs\0",
        b"n;path\n1;c.svs\n2;s/a.svs\n",
        b"\xef\xbb\xbfc.svs\r\ns/a.svs",
        b"c.svs\rs/a.svs\r",
        b"\xef\xbb\xbfc.svs\0s/a.svs",
    ],
)
def test_a_list_on_standard_input(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _make(tmp_path, "s/a.svs", "c.svs")
    monkeypatch.chdir(tmp_path)
    for given_as in ([Path("-")], []):
        monkeypatch.setattr("sys.stdin", _Input(content))
        inputs = gather_slides(given_as, None if given_as else Path("-"))
        assert [str(each.slide) for each in inputs.slides] == ["c.svs", "s/a.svs"]


def test_between_nuls_names_are_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["n\nl.svs", " blank .svs", "#c.svs", "u\u2028.svs", os.fsdecode(b"\xff.svs")]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", _Input(b"".join(os.fsencode(name) + b"\0" for name in names)))
    assert [str(each.slide) for each in gather_slides([Path("-")]).slides] == names


def test_standard_input_that_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", _Input(b"", is_terminal=True))
    with pytest.raises(InputError, match="no list comes"):
        gather_slides([Path("-")])
    monkeypatch.setattr("sys.stdin", _Input(b"\xff\xfe"))
    with pytest.raises(InputError, match="UTF-8"):
        gather_slides([Path("-")])
    monkeypatch.setattr("sys.stdin", _Input(b"\n"))
    with pytest.raises(InputError, match="names no slide"):
        gather_slides([Path("-")])
    with pytest.raises(UsageError, match="read once"):
        gather_slides([Path("-")], Path("-"))


def test_an_outputs_name_for_a_folder_makes_no_sense(tmp_path: Path) -> None:
    _make(tmp_path, "s/a.svs")
    (tmp_path / "list.csv").write_text("path,output\ns,mine\n")
    with pytest.raises(UsageError, match="beside a folder"):
        gather_slides([], tmp_path / "list.csv")
