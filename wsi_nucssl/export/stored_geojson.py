"""GeoJSON of ours back into rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from wsi_nucssl.export.columns import COLUMNS, TRUNCATED, TYPE_PROBABILITY
from wsi_nucssl.export.reading import NucleiFile
from wsi_nucssl.export.rows import Rows, offsets_of

_AT_A_TIME: Final = 512
"""Few, since Python's collector looks at all lists of coordinates that there are, again and again."""


def read(path: Path) -> Iterator[Any]:
    """The header, then rows."""
    nuclei = NucleiFile(path)
    if not nuclei.header:
        raise KeyError("wsi_nucssl")
    yield nuclei.header
    features = (nucleus.feature for nucleus in nuclei)
    for block in iter(lambda: [*islice(features, _AT_A_TIME)], []):
        yield _rows_of_features(block)


def _rows_of_features(features: Sequence[Mapping[str, Any]]) -> Rows:
    rings = [_rings(feature["geometry"]) for feature in features]
    properties = [feature["properties"] for feature in features]
    measured = [each["measurements"] for each in properties]
    return Rows(
        [feature["id"] for feature in features],
        np.array([vertex for polygon in rings for ring in polygon for vertex in ring], np.float64),
        offsets_of(len(ring) for polygon in rings for ring in polygon),
        offsets_of(map(len, rings)),
        np.array([[row[column.qupath] for column in COLUMNS] for row in measured], np.float64),
        np.array([TRUNCATED.qupath in row for row in measured], np.bool_),
        [each["classification"]["name"] for each in properties],
        np.array([row.get(TYPE_PROBABILITY.qupath, 0.0) for row in measured], np.float64),
    )


def _rings(geometry: Mapping[str, Any]) -> list[list[list[float]]]:
    if geometry["type"] != "Polygon" or not geometry["coordinates"]:
        raise ValueError("an outline is no polygon")
    rings: list[list[list[float]]] = geometry["coordinates"]
    return rings
