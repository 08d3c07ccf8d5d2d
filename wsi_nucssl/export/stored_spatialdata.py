"""SpatialData of ours back into rows: the table and its shapes, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zarr

from wsi_nucssl.export.annotated import ROWS
from wsi_nucssl.export.geoparquet import GEOMETRY, open_parquet
from wsi_nucssl.export.spatialdata import PARQUET, TABLE
from wsi_nucssl.export.stored_anndata import StoredMatrix
from wsi_nucssl.export.stored_parquet import ragged


def read(path: Path) -> Iterator[Any]:
    """The header, then rows."""
    matrix = StoredMatrix(zarr.open_group(path / TABLE, mode="r"))
    yield matrix.header
    first = 0
    with open_parquet(path / PARQUET) as file:
        if file.metadata.num_rows != len(matrix):
            raise ValueError(f"it holds {file.metadata.num_rows} shapes beside {len(matrix)} rows")
        for batch in file.iter_batches(ROWS, columns=["id", GEOMETRY]):
            last = first + batch.num_rows
            if batch.column(0).to_pylist() != matrix.ids(first, last):
                raise ValueError("its shapes and its table are not in one order")
            if batch.num_rows:
                yield matrix.rows(first, last, *ragged(batch.column(1)))
            first = last
