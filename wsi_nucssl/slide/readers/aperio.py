"""Aperio's ImageDescription: a title, then `key = value` pairs between bars."""

from __future__ import annotations


def is_aperio(description: str) -> bool:
    """True if the TIFF's first ImageDescription is Aperio's."""
    return description.startswith("Aperio ")


def parse_description(description: str) -> dict[str, str]:
    """The pairs as "aperio.KEY": value, as OpenSlide names them."""
    pairs = (part.partition("=") for part in description.split("|")[1:])
    return {f"aperio.{key.strip()}": value.strip() for key, equals, value in pairs if equals}


def associated_name(description: str, page_index: int) -> str:
    """What an untiled page of an Aperio file shows: "thumbnail", "label", "macro", or "" if unsaid."""
    if page_index == 1:
        return "thumbnail"
    lines = description.splitlines()
    word = lines[1].split(" ")[0] if len(lines) > 1 else ""
    return word if word in {"label", "macro"} else ""
