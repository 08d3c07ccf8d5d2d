"""SpatialData of ours back into rows: the table and its shapes, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zarr

from wsi_nucssl.export.annotated import ROWS
from wsi_nucssl.export.geoparquet import GEOMETRY, open_parquet
from wsi_nucssl.export.spatialdata import ALL_CHUNKS, PARQUET, TABLE
from wsi_nucssl.export.stored_anndata import StoredMatrix
from wsi_nucssl.export.stored_parquet import ragged


def read(path: Path) -> Iterator[Any]:
    """The header, then rows."""
    table = zarr.open_group(path / TABLE, mode="r")
    for name, array in _arrays(table) if table.attrs.get(ALL_CHUNKS) else ():
        if array.nchunks_initialized != array.nchunks:
            raise ValueError(f"a part of {name} is lost")
    matrix = StoredMatrix(table)
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


def _arrays(table: zarr.Group) -> Iterator[tuple[str, Any]]:
    """All arrays, by path; a chunk that is lost would read as zeros."""
    yield from ((name, each) for name, each in table.members(max_depth=None) if isinstance(each, zarr.Array))
