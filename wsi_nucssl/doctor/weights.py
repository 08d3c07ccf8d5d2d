"""The bundled weights: each file is the one that its card names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from wsi_nucssl.doctor.finding import Check, Finding, doubtful, faulty, fine
from wsi_nucssl.errors import WeightsError
from wsi_nucssl.files import sha256_file
from wsi_nucssl.models.cards import read_card
from wsi_nucssl.models.info import BUNDLED

Checksums = Mapping[str, tuple[str, str]]
"""By file: SHA-256 by its card and as it is; empty where there is no card, or no file."""


def checksums(folder: Path = BUNDLED) -> Checksums:
    """The hashes of a folder's weights."""
    stated: dict[str, str] = {}
    for path in folder.glob("*.md"):
        card = read_card(path.with_suffix(".safetensors"))
        stated |= card.sha256 if card else {}
    there = {
        path.name: sha256_file(path) for path in folder.iterdir() if path.suffix in (".safetensors", ".int8")
    }
    return {name: (stated.get(name, ""), there.get(name, "")) for name in sorted({*stated, *there})}


def judge_weights(found: Checksums) -> Finding:
    """All there, and none is another."""
    lost = [name for name, (stated, real) in found.items() if stated and not real]
    other = [name for name, (stated, real) in found.items() if stated and real and stated != real]
    unknown = [name for name, (stated, _) in found.items() if not stated]
    again = "Run: pip install --force-reinstall --no-deps wsi-nucssl"
    if lost or other or not found:
        parts = [*(f"{name} is lost" for name in lost), *(f"{name} is damaged" for name in other)]
        return faulty(", ".join(parts) or "no weights are there", again, WeightsError)
    if unknown:
        return doubtful(
            f"no card names {', '.join(unknown)}", "Keep weights of your own in a folder of your own"
        )
    return fine(f"{len(found)} files are those of their cards")


WEIGHTS: Final = Check("weights", checksums, judge_weights)
