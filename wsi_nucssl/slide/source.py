"""Where a slide's bytes come from: a file, or anything that fsspec reads by ranges."""

from __future__ import annotations

import io
import os
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from wsi_nucssl.errors import SlideError
from wsi_nucssl.locations import Location, Url, is_spoilt_url, without_secrets
from wsi_nucssl.objects import PACKAGES, faults

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Source(Protocol):
    """The bytes of one slide's main file, read-only and safe to share among threads.

    Attributes
    ----------
    location : Path | Url
        Where it is; `str` of it holds no secret.
    size : int
        Bytes.
    read_ahead : int
        Bytes worth reading at a time where more will be asked for next.
    """

    @property
    def location(self) -> Location:
        """Where it is."""
        ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def read_ahead(self) -> int:
        """Bytes worth reading at a time."""
        ...

    def read_at(self, offset: int, count: int) -> bytes:
        """Exactly the `count` bytes from `offset` on.

        Raises
        ------
        SlideError
            They cannot be read, or not all of them.
        """
        ...

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """As `read_at`, of several (offset, count) at once: where each takes a request, they wait together."""
        ...

    def close(self) -> None:
        """Give back the file handle. Closing twice is fine."""
        ...


def open_source(location: Location) -> Source:
    """The bytes at a path or URL.

    Raises
    ------
    SlideError
        Nothing is there, it may not be read, it is a folder or empty, or the package for that protocol is not
        installed.
    """
    source = RemoteSource(location) if isinstance(location, Url) else LocalSource(location)
    if not source.size:
        source.close()
        raise SlideError("the file is empty", path=str(location), remedy="Copy the slide again")
    return source


def closed(location: Location) -> SlideError:
    """The error that says that a slide is read after it was closed."""
    return SlideError("the slide was closed", path=str(location), remedy="Open it again, or close it later")


class LocalSource:
    """A file on this machine: `pread` where there is one, else seek and read under a lock."""

    read_ahead = io.DEFAULT_BUFFER_SIZE

    def __init__(self, path: Path) -> None:
        self.location = path
        self._lock = threading.Lock()
        _check_there(path)
        if path.is_dir():
            raise SlideError("it is a folder, not a slide", path=path, remedy="Give the slide's own file")
        if not path.is_file():
            raise SlideError(
                "it is a pipe, socket or device, not a file", path=path, remedy="Give a slide that is stored"
            )
        try:
            self._file = path.open("rb", buffering=0)
        except PermissionError as error:
            raise SlideError(
                "it may not be read", path=path, remedy="Check the file's permissions"
            ) from error
        except OSError as error:
            raise SlideError(
                f"it cannot be opened: {error.strerror}", path=path, remedy="Check the disk it lies on"
            ) from error
        self.size = os.fstat(self._file.fileno()).st_size

    def read_at(self, offset: int, count: int) -> bytes:
        """Exactly the `count` bytes from `offset` on."""
        try:
            data = self._read(offset, count)
        except OSError as error:
            raise self._fault(f"bytes {offset} to {offset + count} cannot be read: {error}") from error
        if len(data) != count:
            raise self._fault(f"it ends at byte {offset + len(data)}, before {offset + count}")
        return data

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """As `read_at`, of several (offset, count), one after another."""
        return [self.read_at(offset, count) for offset, count in ranges]

    def _read(self, offset: int, count: int) -> bytes:
        if self._file.closed:
            raise closed(self.location)
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), count, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(count)

    def _fault(self, what: str) -> SlideError:
        remedy = "Copy or export the slide again; this file is damaged"
        return SlideError(what, path=self.location, remedy=remedy)

    def close(self) -> None:
        """Give back the file handle. Closing twice is fine."""
        self._file.close()


class RemoteSource:
    """A file that fsspec reaches: each read is one request for a range of bytes.

    Options such as credentials are fsspec's own, from its configuration or the environment:
    https://filesystem-spec.readthedocs.io/en/latest/features.html#configuration.
    """

    read_ahead = 1 << 18

    def __init__(self, url: Url) -> None:
        self.location = url
        self.recent: deque[tuple[int, bytes]] = deque(maxlen=8)
        try:
            from fsspec.core import url_to_fs

            self._files, self._path = url_to_fs(url.raw)
        except ImportError as error:
            package = PACKAGES.get(url.raw.partition(":")[0].lower(), "")
            remedy = (
                f"Install it with: pip install {package}" if package else "Install the package that it names"
            )
            raise SlideError(
                f"its protocol needs a package: {error}", path=str(url), remedy=remedy
            ) from error
        except ValueError as error:
            raise self._fault(error, "Choose s3://, https:// or another protocol that fsspec knows") from None
        self.size = self._measure()

    def _measure(self) -> int:
        try:
            found = self._files.info(self._path)
        except faults() as error:
            remedy = "Check the URL, the connection and the credentials"
            raise self._fault(
                error.__cause__ or error, remedy, "it is not there or cannot be reached"
            ) from None
        if found.get("type") == "directory":
            raise SlideError(
                "it is a folder, not a slide", path=str(self.location), remedy="Give the slide's own file"
            )
        if found.get("size") is None:
            raise SlideError(
                "the server does not say how long it is", path=str(self.location), remedy="Download it first"
            )
        return int(found["size"])

    def read_at(self, offset: int, count: int) -> bytes:
        """Exactly the `count` bytes from `offset` on."""
        return self.read_many([(offset, count)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """As `read_at`, of several (offset, count); the requests wait together where the protocol can."""
        starts, ends = [offset for offset, _ in ranges], [offset + count for offset, count in ranges]
        try:
            answers = self._files.cat_ranges([self._path] * len(ranges), starts, ends)
        except faults() as error:
            answers = [error] * len(ranges)
        return [self._checked(*wanted, answer) for wanted, answer in zip(ranges, answers, strict=True)]

    def _checked(self, offset: int, count: int, data: bytes | BaseException) -> bytes:
        wanted = f"bytes {offset} to {offset + count}"
        if isinstance(data, faults()):
            raise self._fault(data, "Try again, or download it first", f"{wanted} cannot be read") from None
        if isinstance(data, BaseException):
            raise data
        if len(data) != count:
            raise SlideError(
                f"asked for {wanted}, the server gave {len(data)} bytes",
                path=str(self.location),
                remedy="Try again; download it first if the server does not answer requests for ranges",
            )
        return data

    def _fault(self, error: BaseException, remedy: str, what: str = "it cannot be opened") -> SlideError:
        """Without the error as its cause, whose text may hold the whole URL."""
        detail = without_secrets(
            f"{type(error).__name__}: {error}".replace(self.location.raw, str(self.location))
        )
        return SlideError(f"{what} ({detail})", path=str(self.location), remedy=remedy)

    def close(self) -> None:
        """Connections are fsspec's, shared and kept."""


def as_file(source: Source) -> BinaryIO:
    """The source as a buffered file to read and seek in, for libraries that want one. Not for many threads.

    Closing it leaves the source open.
    """
    return cast(BinaryIO, io.BufferedReader(_SourceFile(source), source.read_ahead))


class _SourceFile(io.RawIOBase):
    def __init__(self, source: Source) -> None:
        self._source, self._at = source, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence]
        if start + offset < 0:
            raise ValueError(f"cannot seek to byte {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._source.size - self._at))
        if count:
            data = self._remembered(count)
            count = len(data)
            view[:count] = data
            self._at += count
        return count

    def _remembered(self, count: int) -> bytes:
        """Up to `count` bytes from here: what was read of late is not asked of a server again."""
        if not isinstance(self._source, RemoteSource):
            return self._source.read_at(self._at, count)
        for start, block in self._source.recent:
            if start <= self._at < start + len(block):
                return block[self._at - start : self._at - start + count]
        data = self._source.read_at(self._at, count)
        self._source.recent.append((self._at, data))
        return data


def _check_there(path: Path) -> None:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise SlideError("there is no such file", path=path, remedy=_remedy_for_missing(path)) from None
    except PermissionError:
        raise SlideError("it may not be read", path=path, remedy="Check its folder's permissions") from None
    except (OSError, ValueError) as error:  # a name too long, or one with a null character
        raise SlideError(f"it cannot be found: {error}", path=path, remedy="Check the path") from None


def _remedy_for_missing(path: Path) -> str:
    if is_spoilt_url(path):
        return "Give the URL as text: a Path drops one of its slashes"
    return "Check the path"
