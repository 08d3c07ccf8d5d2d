"""Reading back what was written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

Feature = dict[str, Any]


def read_features(path: Path) -> list[Feature]:
    """The features of a GeoJSON file, by id."""
    raw = path.read_bytes()
    document = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    return sorted(document["features"], key=lambda feature: str(feature["id"]))
