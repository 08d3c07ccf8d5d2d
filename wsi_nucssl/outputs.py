"""Where results may go: never onto an input, nor onto anything that is there already, unless somebody says so.

Every job asks here before it begins its work, so that a refusal costs nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
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


def check_output(
    path: Path,
    *,
    inputs: Iterable[Location | None] = (),
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
    inputs : iterable of Location
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
    for each in inputs:
        if isinstance(each, Path):
            _spare(path, each, exists=there is not None)
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


def _spare(path: Path, given: Path, *, exists: bool) -> None:
    """Raise if writing `path` would change or remove the input `given`."""
    here, source = path.resolve(), given.resolve()
    if (exists and _same(path, given)) or here == source:
        raise OutputExists("the output is an input of this job", path=path, remedy="Choose another output")
    if exists and path.is_dir() and _holds(path, source):
        raise OutputExists(
            f"the input {given} lies in it, and it would be replaced",
            path=path,
            remedy="Choose another output",
        )
    if exists and not path.is_dir() and (_holds(given, here) if given.is_dir() else _is_part(here, source)):
        raise OutputExists(
            f"the file belongs to the input {given}", path=path, remedy="Choose another output"
        )


def _same(path: Path, given: Path) -> bool:
    """True if both are one file, by whatever name: links, hard links, another case."""
    try:
        return path.samefile(given)
    except OSError:
        return False


def _holds(folder: Path, inside: Path) -> bool:
    """True if `inside`, which is resolved, lies somewhere in `folder`."""
    return any(_same(folder, above) for above in inside.parents)


def _is_part(path: Path, slide: Path) -> bool:
    """True if `path` is one of the files that a slide consists of."""
    endings = _PARTS.get(slide.suffix.lower(), ())
    return path.suffix.lower() in endings and path.parent in (slide.parent, slide.with_suffix(""))


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
