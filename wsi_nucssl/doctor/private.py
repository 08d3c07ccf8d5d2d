"""Texts that are safe to paste: without paths, without the names of this machine and of its user."""

from __future__ import annotations

import getpass
import platform
import re
import tempfile
from pathlib import Path
from typing import Final

_PATH: Final = re.compile(r"(?<![\w.$/-])(?:~|[A-Za-z]:)?[/\\][^\s,;:'\"()\[\]]+")
_SHORTEST_NAME: Final = 2


def without_private(text: str, names: dict[str, str] | None = None) -> str:
    """The text with "[folder]" and the like for what others need not know.

    Parameters
    ----------
    names : dict of str to str, optional
        What stands for each private text; those of this machine by default.
    """
    known = private_names() if names is None else names
    for private in sorted(known, key=len, reverse=True):
        bounded = rf"(?<![\w-]){re.escape(private)}(?![\w-])"
        text = re.sub(bounded, known[private], text, flags=re.IGNORECASE)
    return _PATH.sub("[path]", text)


def private_names() -> dict[str, str]:
    """Folders, host and user of this process, and what stands for each."""
    host = platform.node()
    found = {
        str(Path.cwd()): "[working folder]",
        tempfile.gettempdir(): "[temporary folder]",
        str(Path(__file__).parents[2]): "[package]",
        str(Path("~").expanduser()): "[home]",
        host: "[host]",
        host.partition(".")[0]: "[host]",
        _user(): "[user]",
    }
    return {name: word for name, word in found.items() if len(name) >= _SHORTEST_NAME}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name, as in containers
        return ""
