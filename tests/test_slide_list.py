"""Lists of slides: columns, paths against the list, lines that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_nucssl.errors import InputError
from wsi_nucssl.locations import Url
from wsi_nucssl.slide_list import ListedSlide, mpp_of, names_of, read_slide_list


def _list(folder: Path, content: str | bytes, name: str = "list.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_a_table(delimiter: str, bom: bytes, tmp_path: Path) -> None:
    rows = [["Path", "patient", "mpp", "output"], ["a/x.svs", "7", "", ""], ["/b/x.svs", "8", "0.5", "b_x"]]
    rows += [["s3://c/y.svs", "9", "0.25", ""], ["", "", "", ""]]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    listed = read_slide_list(_list(tmp_path, bom + text.encode()))
    assert listed == (
        ListedSlide(tmp_path / "a/x.svs"),
        ListedSlide(Path("/b/x.svs"), 0.5, "b_x"),
        ListedSlide(Url("s3://c/y.svs"), 0.25),
    )
    assert mpp_of(listed) == {Path("/b/x.svs"): 0.5, Url("s3://c/y.svs"): 0.25}
    assert names_of(listed) == {Path("/b/x.svs"): "b_x"}


def test_one_path_a_line(tmp_path: Path) -> None:
    listed = read_slide_list(_list(tmp_path, "# mine\n\na b.svs\n  c,d.svs \n", "list.txt"))
    assert [each.slide for each in listed] == [tmp_path / "a b.svs", tmp_path / "c,d.svs"]


def test_a_comma_may_be_decimal(tmp_path: Path) -> None:
    (only,) = read_slide_list(_list(tmp_path, "path;mpp\na.svs;0,25\n"))
    assert only.mpp == 0.25


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no column is called path"),
        ("path\n", "names no slide"),
        ("file,mpp\na.svs,0.25\n", "no column is called path"),
        ("path,mmp\na.svs,0.25\n", "a column 'mmp'.*Call it mpp"),
        ("path,mpp,mpp\na.svs,0.25,1\n", "two columns are called mpp"),
        ("path,mpp\na.svs,0.25\nb.svs,fast\n", "line 3: the mpp 'fast' is no number"),
        ("path,mpp\na.svs,0.00025\n", "line 2: .*looks like mm, which would be 0.25 µm"),
        ("path,mpp\na.svs,nan\n", "line 2"),
        ("path,mpp\n,0.25\n", "line 2: there is no path"),
        ("path,output\na.svs,../b\n", r"line 2: the output '\.\./b' is no plain name"),
        ("path\na.svs\na.svs\n", "twice"),
        ('path\n"a.svs\n', "it is no CSV"),
        (b"path\n\xff\xfe.svs\n", "not in UTF-8"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(content: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        read_slide_list(_list(tmp_path, content))


def test_an_unusual_mpp_may_be_forced(tmp_path: Path) -> None:
    (only,) = read_slide_list(_list(tmp_path, "path,mpp\na.svs,8\n"), force_mpp=True)
    assert only.mpp == 8


def test_no_list_and_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone.csv"):
        with pytest.raises(InputError):
            read_slide_list(path)


@given(content=st.binary(max_size=200), name=st.sampled_from(["a.csv", "a.txt"]))
def test_any_bytes_are_a_list_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = _list(tmp_path_factory.mktemp("lists"), content, name)
    try:
        assert read_slide_list(path)
    except InputError:
        return
