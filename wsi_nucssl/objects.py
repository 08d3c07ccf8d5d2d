"""Folders on object storage, by fsspec: whole objects are put, copied and removed; none is renamed or appended to."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from wsi_nucssl.errors import OutputError, UsageError
from wsi_nucssl.files import atomic_path
from wsi_nucssl.locations import Url, without_secrets

PACKAGES: Final = {
    "s3": "s3fs",
    "http": "aiohttp",
    "https": "aiohttp",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
}
"""What fsspec needs beside itself, by protocol."""

_AT_ONCE: Final = 8


def faults() -> tuple[type[Exception], ...]:
    """What file systems raise: OSError, but for a few libraries that have errors of their own."""
    own = (
        ("aiohttp", "ClientError"),
        ("botocore.exceptions", "BotoCoreError"),
        ("botocore.exceptions", "ClientError"),
    )
    loaded = ((sys.modules.get(module), name) for module, name in own)
    return (OSError, ValueError, *(getattr(module, name) for module, name in loaded if module is not None))


class ObjectFolder:
    """What lies below a URL, by names with slashes. An object is there whole or not at all. Safe for many threads.

    Credentials and the server's address are fsspec's own, from its configuration or the environment.

    Parameters
    ----------
    url : Url
        The folder.

    Raises
    ------
    UsageError
        The protocol is unknown, needs a package, or takes no files.
    """

    def __init__(self, url: Url) -> None:
        self.url = url
        protocol = url.raw.partition(":")[0].lower()
        if protocol in ("http", "https"):
            raise UsageError(
                f"⟨output⟩: nothing can be written to {url}", remedy="Give a folder, or a URL such as s3://"
            )
        try:
            from fsspec.core import url_to_fs

            self._files, root = url_to_fs(url.raw, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            package = PACKAGES.get(protocol)
            raise UsageError(
                f"⟨output⟩: {without_secrets(str(error))}",
                remedy=f"pip install {package}" if package else "Give s3:// or another protocol of fsspec",
            ) from error
        self._root = root.rstrip("/")

    def names(self, name: str) -> list[str]:
        """The object `name`, if there is one, or all those below a folder of that name."""
        with self._named(name):
            found = self._files.find(self._at(name), withdirs=False)
        return [path.removeprefix(f"{self._root}/") for path in found]

    def put(self, source: Path, name: str) -> None:
        """Copy a file there."""
        with self._named(name):
            self._files.put_file(str(source), self._at(name))

    def write(self, name: str, data: bytes) -> None:
        """Write a small object."""
        with self._named(name):
            self._files.pipe_file(self._at(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Write a small object if none of that name is there; False if one is. Of several who do so, one succeeds."""
        with self._named(name):
            try:
                self._files.pipe_file(self._at(name), data, mode="create")
            except FileExistsError:
                return False
        return True

    def read(self, name: str) -> bytes | None:
        """A small object, None where there is none."""
        with self._named(name):
            try:
                data: bytes = self._files.cat_file(self._at(name))
            except FileNotFoundError:
                return None
        return data

    def get(self, name: str, target: Path) -> None:
        """Copy an object here, whole or not at all."""
        with atomic_path(target) as partial, self._named(name):
            self._files.get_file(self._at(name), str(partial))

    def copy(self, name: str, to: str) -> None:
        """Copy an object to another name; its bytes stay there."""
        with self._named(to):
            self._files.cp_file(self._at(name), self._at(to))

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; one that is not there is fine."""
        for name in names:
            with self._named(name), contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextlib.contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Errors of the file system name the object."""
        try:
            yield
        except OutputError:
            raise
        except (FileExistsError, FileNotFoundError) as error:
            raise self._fault(error, name) from error
        except faults() as error:
            raise self._fault(error, name) from None

    def _fault(self, error: BaseException, name: str) -> OutputError:
        detail = without_secrets(f"{type(error).__name__}: {error}".replace(self.url.raw, str(self.url)))
        return OutputError(
            f"the store did not do what was asked ({detail})",
            path=f"{self.url}/{name}",
            remedy="Check the URL, the connection and the credentials, and run the same command again with ⟨resume⟩",
        )


def at_once(job: Any, arguments: Iterable[Any]) -> None:
    """Do something with each, several at a time; the first error is raised."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(job, arguments):
            pass
