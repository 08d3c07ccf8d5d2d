"""Where a slide lies: a path, or a URL that is never turned into one.

`Path("s3://bucket/a.svs")` is `s3:/bucket/a.svs`, which is nowhere; so what a person types is parsed once, here.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from wsi_nucssl import checks
from wsi_nucssl.errors import UsageError

_URL: Final = re.compile(r"([a-z][a-z0-9+.-]+::)*[a-z][a-z0-9+.-]+://", re.IGNORECASE)
"""One letter is a drive of Windows; `simplecache::s3://` is fsspec's way to chain."""
_SECRETS: Final = re.compile(r"(?<=://)[^/@\s]*@|\?[^\s'\")]*")
"""User and password, and the query, which in a signed URL is the signature."""


@dataclass(frozen=True, slots=True)
class Url:
    """A file elsewhere, such as `s3://bucket/a.svs`, in the words of fsspec.

    `str` leaves out user, password and query, so that no secret gets into a message or a file; `raw` has them.
    """

    raw: str = field(repr=False)

    def __str__(self) -> str:
        return without_secrets(self.raw)

    def __repr__(self) -> str:
        return f"Url({str(self)!r})"

    @property
    def name(self) -> str:
        """The last part, as `Path.name`."""
        return self._last.name

    @property
    def stem(self) -> str:
        """The last part without its suffix, as `Path.stem`."""
        return self._last.stem

    @property
    def suffix(self) -> str:
        """As `Path.suffix`."""
        return self._last.suffix

    @property
    def _last(self) -> PurePosixPath:
        return PurePosixPath(unquote(str(self)).rstrip("/").rpartition("/")[2])


Location = Path | Url
"""Where a slide lies."""


def locate(given: str | os.PathLike[str] | Url, name: str = "path") -> Location:
    """What a person typed as a place: a `Url` if it starts like one (`s3://`, `https://`, `memory://`), else a path.

    `file://` is a path too.

    Parameters
    ----------
    given : str, Path or Url
        What was typed.
    name : str
        The parameter that it was given for, to be named if something is wrong.

    Raises
    ------
    UsageError
        It is neither text nor a path.
    """
    if isinstance(given, Url):
        return given
    text = checks.path(name, given)
    if not _URL.match(text):
        return Path(text)
    if text.lower().startswith("file://"):
        return Path(unquote(urlsplit(text).path))
    return Url(text)


def local(given: str | os.PathLike[str], name: str = "path") -> Path:
    """What a person typed where only a path of this machine will do.

    Parameters
    ----------
    given : str or Path
        What was typed.
    name : str
        The parameter that it was given for, to be named if something is wrong.

    Raises
    ------
    UsageError
        It is neither text nor a path, or it is a URL, or what `Path` leaves of one.
    """
    place = locate(given, name)
    if isinstance(place, Url) or is_spoilt_url(place):
        text = without_secrets(re.sub(":/+", "://", os.fspath(given), count=1))
        raise UsageError(f"⟨{name}⟩ {text} is a URL, and has to lie on this machine", remedy="Give a path")
    return place


def absolute(location: Location) -> Location:
    """As it is to be found from any folder."""
    return location if isinstance(location, Url) else location.absolute()


def as_text(name: str) -> str:
    """A file's name as text that any file may hold: what is no UTF-8 in it becomes an escape."""
    return name.encode(errors="backslashreplace").decode()


def is_spoilt_url(path: Path) -> bool:
    """True for what is left of a URL that was made a path: its second slash is lost."""
    return re.match(r"[a-z][a-z0-9+.-]+:/[^/]", path.as_posix(), re.IGNORECASE) is not None


def without_secrets(text: str) -> str:
    """A URL, or a message with URLs in it, without users, passwords and queries."""
    return _SECRETS.sub("", text)
