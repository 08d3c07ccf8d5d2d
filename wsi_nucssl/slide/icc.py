"""ICC profiles by name: noted, never applied (https://www.color.org/specification/ICC.1-2022-05.pdf)."""

from __future__ import annotations

import struct
from typing import Final

PROFILE: Final = "icc.Profile"
"""The property of a slide that says which profile its file holds."""

_SPACE_AT, _MAGIC_AT, _TAGS_AT = 16, 36, 128
_MOST_TAGS: Final = 200
_LONGEST: Final = 200


def icc_properties(profile: bytes) -> dict[str, str]:
    """What a slide's properties say of its profile: nothing where there is none."""
    return {PROFILE: in_words(profile)} if profile else {}


def in_words(profile: bytes) -> str:
    """A profile's own description, its colour space and its size; "damaged" where it has no profile's header.

    Examples
    --------
    >>> in_words(b"no profile")
    'damaged (10 bytes)'
    """
    if profile[_MAGIC_AT : _MAGIC_AT + 4] != b"acsp":
        return f"damaged ({len(profile)} bytes)"
    try:
        name = _description(profile)
    except (struct.error, UnicodeDecodeError):
        name = ""
    space = _printable(profile[_SPACE_AT : _SPACE_AT + 4].decode("latin-1"))
    return f"{name or 'without a name'} ({space}, {len(profile)} bytes)"


def _description(profile: bytes) -> str:
    (count,) = struct.unpack_from(">I", profile, _TAGS_AT)
    for index in range(min(count, _MOST_TAGS)):
        name, offset, size = struct.unpack_from(">4sII", profile, _TAGS_AT + 4 + 12 * index)
        if name == b"desc":
            return _printable(_text(profile[offset : offset + size]))
    return ""


def _text(tag: bytes) -> str:
    """The text of a tag of type "desc" (version 2) or "mluc" (version 4, the first of its languages)."""
    if tag[:4] == b"desc":
        (length,) = struct.unpack_from(">I", tag, 8)
        return tag[12 : 12 + length].decode("latin-1")
    if tag[:4] == b"mluc":
        length, offset = struct.unpack_from(">II", tag, 20)
        return tag[offset : offset + length].decode("utf-16-be")
    return ""


def _printable(text: str) -> str:
    return "".join(letter for letter in text[:_LONGEST] if letter.isprintable()).strip()
