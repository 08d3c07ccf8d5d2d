"""Lists of slides in a file: what each one's mpp is and what its output is called, where people say so."""

from __future__ import annotations

import csv
import difflib
import io
import os
import re
import sys
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.files import safe_stem
from wsi_nucssl.locations import Location, Url, locate
from wsi_nucssl.mpp import GivenMpp

STANDARD_INPUT: Final = Path("-")
BATCH: Final = "batch"
"""What a batch's own files in the outputs' folder are called, whatever their endings."""
_LARGEST_BYTES: Final = 1 << 26
_COLUMNS: Final = ("path", "mpp", "output")
_DELIMITERS: Final = ",;\t"


@dataclass(frozen=True, slots=True)
class ListedSlide:
    """One line of a list.

    Attributes
    ----------
    slide : Location
        The file, or its URL.
    mpp : float or None
        µm per level-0 px, where the file does not say it.
    output : str
        Where its outputs go below their folder, without an ending, such as "site-a/x"; "" for its own stem.
    """

    slide: Location
    mpp: float | None = None
    output: str = ""


def read_slide_list(path: Path, *, force_mpp: bool = False) -> tuple[ListedSlide, ...]:
    """The slides of a list, in its order.

    A `.csv` file has a line of column names: `path`, and perhaps `mpp` and `output`; other columns are left alone, and
    commas, semicolons or tabs stand between. Any other file has one path a line. Paths count from the list's folder;
    empty lines and those that begin with # are left out. Standard input is a table if its first line has a column
    `path`; between its paths may stand NULs, as `find -print0` writes them, and they count from the present folder.

    Parameters
    ----------
    path : Path
        The list, in UTF-8; `-` is standard input.
    force_mpp : bool
        Do not question an unusual mpp.

    Raises
    ------
    InputError
        There is no such file, it is no list, or a line of it is none; the message names the line.
    """
    text = _read_standard_input() if path == STANDARD_INPUT else _read(path)
    slides = _table(text, path, force_mpp) if _is_table(text, path) else _lines(text, path)
    if not slides:
        raise InputError("the list names no slide", path=path, remedy="Give one path a line")
    _refuse_twice(slides, path)
    return slides


def mpp_of(listed: Iterable[ListedSlide]) -> Mapping[Location, float]:
    """The mpp of each slide of which the list says it."""
    return {each.slide: each.mpp for each in listed if each.mpp is not None}


def names_of(listed: Iterable[ListedSlide]) -> Mapping[Location, str]:
    """The output's name of each slide of which the list says it."""
    return {each.slide: each.output for each in listed if each.output}


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_BYTES or not path.is_file():
            raise InputError("it is no list of slides", path=path, remedy="Give a text file of paths")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"the list cannot be read: {error.strerror}", path=path, remedy="Check its name"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError("the list is not in UTF-8", path=path, remedy="Save it as UTF-8 text") from error


def _read_standard_input() -> str:
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError(
            "no list comes on standard input", remedy="Pipe one into the command, such as from find or ls"
        )
    data = sys.stdin.buffer.read(_LARGEST_BYTES + 1)
    if len(data) > _LARGEST_BYTES:
        raise InputError("what comes on standard input is no list of slides", remedy="Pipe a list of paths")
    try:
        return os.fsdecode(data.removeprefix(BOM_UTF8)) if b"\0" in data else data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("the list on standard input is not in UTF-8", remedy="Pipe text") from error


def _is_table(text: str, path: Path) -> bool:
    if path != STANDARD_INPUT:
        return path.suffix.lower() == ".csv"
    cells = re.split(f"[{_DELIMITERS}]", text.partition("\n")[0])
    return "\0" not in text and "path" in (cell.strip().lower() for cell in cells)


def _lines(text: str, path: Path) -> tuple[ListedSlide, ...]:
    if "\0" in text and path == STANDARD_INPUT:  # names as they are, whatever is in them
        names = enumerate(text.split("\0"), 1)
        return tuple(ListedSlide(_located(name, path, number)) for number, name in names if name)
    lines = enumerate(map(str.strip, re.split("\r\n|\r|\n", text)), 1)
    return tuple(
        ListedSlide(_located(line, path, number)) for number, line in lines if line and line[0] != "#"
    )


def _table(text: str, path: Path, force_mpp: bool) -> tuple[ListedSlide, ...]:
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise InputError(f"it is no CSV: {error}", path=path, remedy="Export the table again") from error
    place = _places(rows[0] if rows else [], path)
    slides = []
    for number, row in enumerate(rows[1:], 2):
        cells = {name: row[at].strip() for name, at in place.items() if at < len(row)}
        if not any(map(str.strip, row)) or row[0].startswith("#"):
            continue
        slides.append(
            ListedSlide(
                _located(cells.get("path", ""), path, number),
                _mpp(cells.get("mpp", ""), path, number, force_mpp),
                _output(cells.get("output", ""), path, number),
            )
        )
    return tuple(slides)


def _places(head: list[str], path: Path) -> dict[str, int]:
    """Where the columns stand; a name that is nearly one of ours is a slip."""
    names = [name.strip().lower() for name in head]
    for name in names:
        close = difflib.get_close_matches(name, _COLUMNS, 1, 0.6)
        if close and name not in _COLUMNS and close[0] not in names:
            raise InputError(f"there is a column {name!r}", path=path, remedy=f"Call it {close[0]}")
    twice = next((name for name in _COLUMNS if names.count(name) > 1), "")
    if "path" not in names or twice:
        what = f"two columns are called {twice}" if twice else "no column is called path"
        raise InputError(what, path=path, remedy="Begin the list with the line: path,mpp,output")
    return {name: names.index(name) for name in _COLUMNS if name in names}


def _located(text: str, path: Path, number: int) -> Location:
    if not text or "\0" in text:
        raise _wrong(path, number, "there is no path", "Give one, or take the line out")
    place = locate(text)
    return place if isinstance(place, Url) else path.parent / place


def _mpp(text: str, path: Path, number: int, force: bool) -> float | None:
    if not text:
        return None
    try:
        return GivenMpp.parse(float(text.replace(",", ".")), force).um
    except ValueError:
        raise _wrong(path, number, f"the mpp {text!r} is no number", "Give µm per px, such as 0.25") from None
    except UsageError as error:
        raise _wrong(path, number, error.what, error.remedy or "Correct it") from None


def _output(text: str, path: Path, number: int) -> str:
    if text and safe_stem(Path(f"{text}.x")) != text:
        raise _wrong(
            path, number, f"the output {text!r} is no plain name", "Give letters, digits, - and _, no folder"
        )
    if text.lower() == BATCH:
        raise _wrong(path, number, f"{text!r} is what the batch's own files are called", "Give another name")
    return text


def _wrong(path: Path, number: int, what: str, remedy: str) -> InputError:
    return InputError(f"line {number}: {what}", path=path, remedy=remedy)


def _refuse_twice(slides: tuple[ListedSlide, ...], path: Path) -> None:
    seen: set[Location] = set()
    for each in slides:
        if each.slide in seen:
            raise InputError(f"it names {each.slide} twice", path=path, remedy="Take one line out")
        seen.add(each.slide)
