"""A table for pandas, R and spreadsheets: one row a nucleus, units in the columns' names.

Rows have the order, the ids and the measurements of the GeoJSON. Coordinates are level-0 (x, y) and µm from the same
point, which the run's manifest calls `origin`. RFC 4180 with one line feed a row; UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from wsi_nucssl.export.base import ExportContext, Exporter, WriteNuclei
from wsi_nucssl.export.columns import COLUMNS, DECIMALS, TRUNCATED
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
        file.write(",".join(COLUMN_NAMES) + "\n")
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
    for identifier, row in zip(spelled_ids(context.ids(nuclei)), numbers.tolist(), strict=True):
        yield _ROW % (identifier, *row) + "\n"


CSV: Final = Exporter(_open)
