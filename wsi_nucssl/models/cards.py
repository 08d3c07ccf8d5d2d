"""What the card of a model says, as far as machines care: a Markdown file beside the weights."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsi_nucssl.doubts import Doubt
from wsi_nucssl.files import sha256_file

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


def doubts_of_weights(weights: Path) -> tuple[Doubt, ...]:
    """A doubt for each file, the weights and what lies beside them, that is not the one of its card by SHA-256."""
    card = read_card(weights)
    named = card.sha256 if card else {}
    others = [
        path.name
        for path in weights.parent.glob(f"{glob.escape(weights.stem)}.*")
        if path.name in named and path.is_file() and sha256_file(path) != named[path.name]
    ]
    return tuple(
        Doubt(
            "weights-card",
            f"{name} in {weights.parent} has another SHA-256 than its card names: the file is damaged, or the card "
            "is of another version",
            "Install the package or copy the model again; of a model of your own, mend or remove the card",
        )
        for name in others
    )
