"""What the card of a model says, as far as machines care: a Markdown file beside the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FILE: Final = re.compile(r"`([^`\s]+)`, [\d.]+ MB, SHA-256 `([0-9a-f]{64})`")
_LICENCE: Final = re.compile(r"^\| licence \| ([^|,]+)", re.MULTILINE)
_BY_SET: Final = re.compile(r"^\| ([^|`]+?) \| (\d+\.\d+) \[", re.MULTILINE)
_VALIDATION: Final = re.compile(r"^\| (\d+\.\d+) \[", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Card:
    """What stands in a card.

    Attributes
    ----------
    sha256 : mapping of str to str
        Of each file that it names.
    licence : str
        Its name; empty if the card does not say it.
    aji : mapping of str to float
        Mean AJI in % on each set, the set that speaks most first; "validation" for the images that were held out.
    """

    sha256: Mapping[str, str]
    licence: str
    aji: Mapping[str, float]


def card_path(weights: Path) -> Path:
    """Where the card of a weights file is looked for."""
    return weights.with_suffix(".md")


def read_card(weights: Path) -> Card | None:
    """The card beside a weights file; None where there is none."""
    try:
        text = card_path(weights).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    licence = _LICENCE.search(text)
    scores = [*_BY_SET.findall(text), *(("validation", value) for value in _VALIDATION.findall(text))]
    return Card(
        dict(_FILE.findall(text)),
        licence[1].strip() if licence else "",
        {name: float(value) for name, value in scores},
    )
