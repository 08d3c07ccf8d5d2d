"""How a command ended, and where the sample slide lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

SAMPLE: Final = Path(__file__).parent.parent.parent / "sample_slides" / "sample.svs"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str
