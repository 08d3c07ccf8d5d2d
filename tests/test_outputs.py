"""No output is an input, nothing is replaced unasked, and what is no plain file or folder is never replaced."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from wsi_nucssl.errors import OutputError, OutputExists
from wsi_nucssl.outputs import Inputs, check_output


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "slide.svs"
    path.parent.mkdir()
    path.write_text("pixels")
    return path


def _itself(slide: Path) -> Path:
    return slide


def _by_dots(slide: Path) -> Path:
    return slide.parent / ".." / "in" / slide.name


def _by_hard_link(slide: Path) -> Path:
    os.link(slide, other := slide.with_name("other.svs"))
    return other


def _by_link(slide: Path) -> Path:
    (other := slide.with_name("link.svs")).symlink_to(slide)
    return other


def _by_linked_folder(slide: Path) -> Path:
    (other := slide.parent.parent / "elsewhere").symlink_to(slide.parent)
    return other / slide.name


@pytest.mark.parametrize("way", [_itself, _by_dots, _by_hard_link, _by_link, _by_linked_folder])
@pytest.mark.parametrize("overwrite", [True, False])
def test_an_input_is_no_output_by_whatever_name(slide: Path, way: object, overwrite: bool) -> None:
    output = way(slide)  # type: ignore[operator]
    with pytest.raises(OutputExists, match="input"):
        check_output(output, inputs=(slide,), overwrite=overwrite)
    assert slide.read_text() == "pixels"


def test_an_input_that_is_a_link_to_the_output(slide: Path) -> None:
    with pytest.raises(OutputExists, match="input"):
        check_output(slide, inputs=(_by_link(slide),), overwrite=True)


def test_another_case_where_case_does_not_count(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **how: stat(Path(str(path).lower()), **how))
    monkeypatch.setattr(Path, "lstat", lambda path: os.lstat(str(path).lower()))
    with pytest.raises(OutputExists, match="input"):
        check_output(slide.with_name("SLIDE.SVS"), inputs=(slide,), overwrite=True)


def test_a_folder_that_holds_an_input_is_not_replaced(slide: Path) -> None:
    with pytest.raises(OutputExists, match="lies in it"):
        check_output(slide.parent, inputs=(slide,), overwrite=True, is_folder=True)


def test_a_file_of_an_input_folder_is_not_replaced(slide: Path) -> None:
    with pytest.raises(OutputExists, match="belongs to the input"):
        check_output(slide, inputs=(slide.parent,), overwrite=True)
    check_output(slide.with_name("new.png"), inputs=(slide.parent,))


@pytest.mark.parametrize(
    ("main", "part"), [("a.mrxs", "a/Data0001.dat"), ("a.vms", "x.jpg"), ("1.dcm", "2.dcm")]
)
def test_the_other_files_of_a_slide_are_not_replaced(tmp_path: Path, main: str, part: str) -> None:
    for name in (main, part):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(OutputExists, match="belongs to the input"):
        check_output(tmp_path / part, inputs=(tmp_path / main,), overwrite=True)


def test_what_is_there_stays_unless_somebody_says_so(slide: Path) -> None:
    with pytest.raises(OutputExists, match="`overwrite`"):
        check_output(slide)
    check_output(slide, overwrite=True)
    check_output(slide.with_name("new"))


@pytest.mark.parametrize("target", ["slide.svs", "nowhere", "."])
def test_nothing_is_written_through_a_link(slide: Path, target: str) -> None:
    (link := slide.with_name("link")).symlink_to(target)
    with pytest.raises(OutputExists, match="link"):
        check_output(link, overwrite=True)


def test_devices_pipes_and_sockets(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "socket", Path("/dev/null")):
            with pytest.raises(OutputError, match="device"):
                check_output(path, overwrite=True)


def test_write_protected_files_and_wrong_kinds(slide: Path) -> None:
    slide.chmod(0o444)
    with pytest.raises(OutputError, match="write-protected"):
        check_output(slide, overwrite=True)
    with pytest.raises(OutputExists, match="folder has"):
        check_output(slide.parent, overwrite=True)
    with pytest.raises(OutputExists, match="file has"):
        check_output(slide, overwrite=True, is_folder=True)


@pytest.mark.parametrize("name", ["slide.svs/x.png", "x" * 300, "a\0b"])
def test_places_that_cannot_be(slide: Path, name: str) -> None:
    with pytest.raises(OutputError):
        check_output(slide.parent / name)


def test_inputs_are_looked_at_once_for_many_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slides = [tmp_path / f"{number}.svs" for number in range(50)]
    for each in slides:
        each.touch()
    asked: list[Path] = []
    resolve = os.path.realpath

    def counted(path: Path) -> str:
        asked.append(path)
        return resolve(path)

    monkeypatch.setattr("wsi_nucssl.outputs.os.path.realpath", counted)
    inputs = Inputs(slides)
    for each in slides:
        check_output(each.with_suffix(".geojson"), inputs=inputs)
    assert len(asked) == 2 * len(slides)
    with pytest.raises(OutputExists, match="input"):
        check_output(slides[7], inputs=inputs, overwrite=True)
