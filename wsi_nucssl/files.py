"""Files that are either whole or absent: atomic writes, hashes."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import hashlib
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from wsi_nucssl.errors import InputError, OutputError, ResourceError, WsiNucsslError
from wsi_nucssl.locations import Location

_NO_SPACE: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REMEDIES: Final = {
    **dict.fromkeys(
        (
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOTDIR,
            errno.EISDIR,
            errno.EEXIST,
            errno.ENOTEMPTY,
            errno.ENAMETOOLONG,
            errno.ELOOP,
            errno.EBUSY,
            errno.ETXTBSY,
            errno.EXDEV,
        ),
        "Choose another output",
    ),
    errno.ENOENT: "The folder is gone: see who removed it, and run the same command again",
    **dict.fromkeys(
        (errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN),
        "Check the disk and its connection, or choose another output",
    ),
}
"""What to do about what the system says of a place that takes no files."""

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
"""Of Linux's renameat2."""
_TOKEN: Final = "?" * 8
_ATTEMPTS: Final = 20
_PAUSE_S: Final = 0.1


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` for a file or a folder; on success it is fsynced and takes the final name.

    On failure it is removed. A folder that has the final name stays until the new one is whole.

    Raises
    ------
    ResourceError
        The disk is full.
    OutputError
        The place cannot be written to.
    """
    partial = _beside(path, "partial")
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            restore(path)
            yield partial
            _sync(partial)
            replace(partial, path)
            _sync_directory(path.parent)
    finally:
        with contextlib.suppress(OSError):  # where nothing could be written, there is nothing to remove
            remove_path(partial)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.{ending}")


def replace(new: Path, path: Path) -> None:
    """Give the file or folder `new` the name `path`; what had it is removed after that.

    At every moment the old or the new stands whole under `path`. Systems that cannot exchange two folders have an
    instant at which the old one stands beside it, from where `restore` brings it back.
    """
    if not (new.is_dir() and path.is_dir()):
        new.replace(path)
        return
    if _exchange(new, path):
        retire(new, path)
        return
    old = _beside(path, "aside")
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    remove_tree(old)


def retire(old: Path, path: Path) -> None:
    """Remove a folder that had or was to have the name `path`, whose present bearer stays; it is gone in one step.

    What a kill leaves of it is removed by `restore`.
    """
    aside = _beside(path, "aside")
    old.rename(aside)
    remove_tree(aside)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    if rename is None:
        return False
    names = (os.fsencode(one), os.fsencode(other))
    return int(rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)) == 0


def restore(path: Path) -> None:
    """Bring back the folder that a killed `replace` left beside `path`; for its only writer."""
    for aside in path.parent.glob(f".{glob.escape(path.name)}.{_TOKEN}.aside"):
        if os.path.lexists(path):
            remove_path(aside)
        else:
            aside.rename(path)


def remove_path(path: Path) -> None:
    """Remove a file or a folder and all in it, of a link only the link; absent is fine."""
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def remove_partials(directory: Path, name: str | None = None) -> None:
    """Remove what killed writers left of the file or folder `name`, or of any, in `directory`; for its only writer."""
    for partial in directory.glob(f".{glob.escape(name) if name else '*'}.{_TOKEN}.partial"):
        remove_path(partial)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Name the file in errors: "no space left" becomes a ResourceError, a place that takes no files an OutputError.

    What the system says of a file that lies elsewhere is not an error of this output, and stays as it is.
    """
    try:
        yield
    except OSError as error:
        known = None if _elsewhere(error, path) else disk_error(error, path)
        if known is None:
            raise
        raise known from error


def disk_error(error: OSError, path: str | os.PathLike[str] | None) -> WsiNucsslError | None:
    """What the system says when it cannot write, as an error of ours; None if it says something else."""
    if error.errno in _NO_SPACE:
        return ResourceError(
            "the disk is full",
            path=path,
            remedy="Free some space and run the same command again, with ⟨resume⟩ where it has that",
        )
    if error.errno in REMEDIES:
        return OutputError(f"cannot be written ({error.strerror})", path=path, remedy=REMEDIES[error.errno])
    return None


def _elsewhere(error: OSError, path: Path) -> bool:
    """True if the error names a file that is neither below the folder of `path` nor one of the folders above."""
    if not isinstance(error.filename, str | bytes):
        return False
    named, place = Path(os.fsdecode(error.filename)).absolute(), path.absolute()
    return not (named.is_relative_to(place.parent) or place.is_relative_to(named))


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read its bytes; what may have no end, or never begin, is refused instead of waited for.

    Raises
    ------
    InputError
        It is a pipe, a socket, a device or a folder.
    OSError
        It cannot be opened.
    """
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        file = os.fdopen(
            os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb"
        )
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
    raise InputError(
        "this is no regular file but a pipe, a socket, a device or a folder",
        path=path,
        remedy="Save the content as a file",
    )


def read_bounded(path: Path, largest: int) -> bytes:
    """The bytes of a regular file of at most `largest` bytes.

    Raises
    ------
    InputError
        It is no regular file, or larger.
    OSError
        It cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise InputError(
                f"it has {size} bytes, more than the {largest} that such a file may have",
                path=path,
                remedy="Check that this is the file that you mean",
            )
        return file.read(largest)


def read_head(path: Path, count: int) -> bytes:
    """At most the first `count` bytes of a regular file; none of one that cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(count)
    except (OSError, InputError):
        return b""


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_tree(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, or of the names and bytes of all files in a folder."""
    if not path.is_dir():
        return sha256_file(path)
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    listed = "".join(f"{sha256_file(path / name)}  {name}\n" for name in files)
    return hashlib.sha256(listed.encode()).hexdigest()


def safe_stem(path: Location) -> str:
    """The file's stem as a name that is safe on every file system: letters, digits, dot, dash, underscore."""
    return re.sub(r"[^\w.-]+", "_", path.stem).strip("._") or "slide"


def remove_tree(directory: Path) -> None:
    """Remove a directory and all in it, what others put into it meanwhile too; absent is fine."""
    for attempt in range(_ATTEMPTS):
        try:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(directory)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def _sync(path: Path) -> None:
    """Have a file, or a folder and all in it, on the disk."""
    if path.is_dir():
        for entry in path.iterdir():
            _sync(entry)
        _sync_directory(path)
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
