"""A table for pandas, R and spreadsheets: one row a nucleus, units in the columns' names.

Rows have the order, the ids and the measurements of the GeoJSON. Coordinates are level-0 (x, y) and µm from the same
point, which the run's manifest calls `origin`. Where the model tells types apart, two columns follow: the name of the
nucleus's type and its probability. RFC 4180 with one line feed a row; UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from wsi_nucssl.export.base import ExportContext, Exporter, WriteNuclei
from wsi_nucssl.export.columns import COLUMNS, DECIMALS, TRUNCATED, TYPE, TYPE_PROBABILITY
from wsi_nucssl.export.ids import spelled_ids
from wsi_nucssl.export.transform import COORDINATE_DECIMALS
from wsi_nucssl.nuclei.table import Nuclei

COLUMN_NAMES: Final = (
    "id",
    "centroid_x_px",
    "centroid_y_px",
    "centroid_x_um",
    "centroid_y_um",
    *(column.name for column in COLUMNS),
    TRUNCATED.name,
)
TYPE_COLUMNS: Final = (TYPE, TYPE_PROBABILITY.name)
_ROW: Final = ",".join(
    [
        "%s",
        *[f"%.{COORDINATE_DECIMALS}f"] * 2,
        *[f"%.{DECIMALS}f"] * (2 + len(COLUMNS)),
        "%d",
    ]
)


@contextmanager
def _open(path: Path, context: ExportContext) -> Iterator[WriteNuclei]:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        columns = (*COLUMN_NAMES, *TYPE_COLUMNS) if context.types else COLUMN_NAMES
        file.write(",".join(columns) + "\n")
        yield lambda nuclei: file.writelines(_rows(nuclei, context))


def _rows(nuclei: Nuclei, context: ExportContext) -> Iterator[str]:
    numbers = np.column_stack(
        [
            context.centroids_px(nuclei),
            context.centroids_um(nuclei),
            context.measured(nuclei) / 10**DECIMALS,
            nuclei.truncated,
        ]
    )
    ids, types = spelled_ids(context.ids(nuclei)), _types(nuclei, context)
    for identifier, row, type_ in zip(ids, numbers.tolist(), types, strict=True):
        yield _ROW % (identifier, *row) + type_ + "\n"


def _types(nuclei: Nuclei, context: ExportContext) -> list[str]:
    """What each row ends in: nothing without types."""
    if not context.types:
        return [""] * len(nuclei)
    names = map(_quoted, context.type_names(nuclei))
    values = (context.type_probability(nuclei) / 10**DECIMALS).tolist()
    return [f",{name},{value:.{DECIMALS}f}" for name, value in zip(names, values, strict=True)]


def _quoted(text: str) -> str:
    """A text as RFC 4180 wants it."""
    return '"' + text.replace('"', '""') + '"' if any(letter in text for letter in ',"') else text


CSV: Final = Exporter(_open)
