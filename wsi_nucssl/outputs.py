"""Where results may go: never onto an input, nor onto anything that is there already, unless somebody says so.

Every job asks here before it begins its work, so that a refusal costs nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Final

from wsi_nucssl.errors import OutputError, OutputExists
from wsi_nucssl.files import disk_errors
from wsi_nucssl.locations import Location

_PARTS: Final = {
    ".mrxs": (".dat", ".ini"),
    ".vms": (".vms", ".jpg", ".opt"),
    ".vmu": (".vmu", ".ngr", ".opt"),
    ".dcm": (".dcm",),
}
"""Endings of the other files that a slide consists of; they lie beside it, or in the folder of its stem."""

_NO_PART: Final = ".ann.dcm"
"""How annotations end that this package writes beside slides of that kind."""

_File = tuple[int, int]
"""Device and number of a file."""


class Inputs:
    """What a job reads, looked at once however many outputs are held against it.

    Parameters
    ----------
    inputs : iterable of Location
        Files and folders; URLs are no place that an output of ours may take.
    """

    def __init__(self, inputs: Iterable[Location | None]) -> None:
        self._given = [each for each in inputs if isinstance(each, Path)]

    @cached_property
    def _sources(self) -> dict[Path, Path]:
        return {Path(os.path.realpath(each)): each for each in reversed(self._given)}

    @cached_property
    def _files(self) -> dict[_File, Path]:
        """By what tells files apart, whatever their names: links, hard links, another case."""
        found = {_file(each): each for each in reversed(self._given)}
        return {file: each for file, each in found.items() if file is not None}

    @cached_property
    def _above(self) -> dict[_File, Path]:
        """Folders that hold an input somewhere, each with one."""
        folders = {folder: each for source, each in self._sources.items() for folder in source.parents}
        found = {_file(folder): each for folder, each in folders.items()}
        return {file: each for file, each in found.items() if file is not None}

    @cached_property
    def _of_parts(self) -> list[tuple[Path, Path]]:
        """The slides that consist of several files."""
        return [(source, each) for source, each in self._sources.items() if source.suffix.lower() in _PARTS]

    def spare(self, path: Path, *, exists: bool) -> None:
        """Refuse an output whose writing would change or remove an input.

        Raises
        ------
        OutputExists
            It would.
        """
        here, file = Path(os.path.realpath(path)), _file(path) if exists else None
        if here in self._sources or (file is not None and file in self._files):
            raise OutputExists(
                "the output is an input of this job", path=path, remedy="Choose another output"
            )
        if not exists:
            return
        if path.is_dir():
            if file is not None and file in self._above:
                raise OutputExists(
                    f"the input {self._above[file]} lies in it, and it would be replaced",
                    path=path,
                    remedy="Choose another output",
                )
            return
        owner = self._folder_of(here) or next(
            (each for source, each in self._of_parts if _is_part(here, source)), None
        )
        if owner is not None:
            raise OutputExists(
                f"the file belongs to the input {owner}", path=path, remedy="Choose another output"
            )

    def _folder_of(self, file: Path) -> Path | None:
        """The input that is a folder and holds the file."""
        given = (self._files.get(found) for found in map(_file, file.parents) if found is not None)
        return next((each for each in given if each is not None and each.is_dir()), None)


def _file(path: Path) -> _File | None:
    """What tells a file or folder apart from others; None where there is none that may be looked at."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def check_output(
    path: Path,
    *,
    inputs: Inputs | Iterable[Location | None] = (),
    overwrite: bool = False,
    may_exist: bool = False,
    is_folder: bool = False,
    name: str = "overwrite",
) -> None:
    """See that `path` may be written, before any work begins.

    Parameters
    ----------
    path : Path
        The output.
    inputs : Inputs or iterable of Location
        What the job reads, files and folders.
    overwrite : bool
        Replace what is there.
    may_exist : bool
        Let the caller decide on what is there, such as a run that can be resumed.
    is_folder : bool
        True if a folder is written, False if it is a file.
    name : str
        The parameter that asks for replacing.

    Raises
    ------
    OutputExists
        It is one of the `inputs` or holds one, or it is there already and nothing says to replace it.
    OutputError
        It is a link, a device, a pipe or a socket, is write-protected, or its folder takes no files.
    """
    with disk_errors(path):
        there = _status(path)
    (inputs if isinstance(inputs, Inputs) else Inputs(inputs)).spare(path, exists=there is not None)
    if there is None:
        _check_folder(path)
        return
    _check_kind(path, there, is_folder=is_folder)
    if not (overwrite or may_exist):
        raise OutputExists(
            "it is there already", path=path, remedy=f"Add ⟨{name}⟩ to replace it, or choose another output"
        )
    if overwrite and not is_folder and not (there.st_mode & 0o222 and os.access(path, os.W_OK)):
        raise OutputError(
            "the file is write-protected", path=path, remedy="Choose another output, or let it be written"
        )
    _check_folder(path)


def _status(path: Path) -> os.stat_result | None:
    """Of the name itself, not of what a link leads to; None where nothing has the name."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None
    except ValueError as error:  # a NUL
        raise OutputError(f"no file can have this name ({error})", remedy="Choose another output") from error


def _is_part(path: Path, slide: Path) -> bool:
    """True if `path` is one of the files that a slide consists of."""
    endings = _PARTS.get(slide.suffix.lower(), ())
    is_of_it = path.suffix.lower() in endings and not path.name.endswith(_NO_PART)
    return is_of_it and path.parent in (slide.parent, slide.with_suffix(""))


def _check_kind(path: Path, there: os.stat_result, *, is_folder: bool) -> None:
    if stat.S_ISLNK(there.st_mode):
        raise OutputExists(
            "a link has the output's name", path=path, remedy="Give the place that it leads to"
        )
    if not (stat.S_ISREG(there.st_mode) or stat.S_ISDIR(there.st_mode)):
        raise OutputError(
            "it is a device, a pipe or a socket, and no file", path=path, remedy="Choose another output"
        )
    if stat.S_ISDIR(there.st_mode) != is_folder:
        what = "file" if is_folder else "folder"
        raise OutputExists(f"a {what} has the output's name", path=path, remedy="Choose another output")


def _check_folder(path: Path) -> None:
    """Raise if the folder that is to take `path`, or the nearest above it that is there, takes no files."""
    folder = next((each for each in path.absolute().parents if os.path.lexists(each)), Path("/"))
    if not folder.is_dir():
        raise OutputError("a file has the folder's name", path=folder, remedy="Choose another output")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError("the folder cannot be written to", path=folder, remedy="Choose another output")
