"""GeoParquet of ours back into rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray

from wsi_nucssl.export.columns import COLUMNS, TRUNCATED, TYPE, TYPE_PROBABILITY
from wsi_nucssl.export.geoparquet import GEOMETRY, OURS, open_parquet
from wsi_nucssl.export.rows import Rows

_AT_A_TIME: Final = 4096


def read(path: Path) -> Iterator[Any]:
    """The header, then rows."""
    with open_parquet(path) as file:
        metadata = file.schema_arrow.metadata or {}
        if OURS not in metadata:
            raise ValueError("it lacks the header")
        header = orjson.loads(metadata[OURS])
        yield header
        typed = [TYPE, TYPE_PROBABILITY.name] if header.get("types") else []
        names = ["id", *(column.name for column in COLUMNS), TRUNCATED.name, *typed, GEOMETRY]
        for batch in file.iter_batches(_AT_A_TIME, columns=names):
            if batch.num_rows:
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                yield _rows_of_columns(columns, typed=bool(typed))


def _rows_of_columns(columns: Mapping[str, Any], *, typed: bool) -> Rows:
    ids = columns["id"].to_pylist()
    values = [columns[column.name].to_numpy(zero_copy_only=False) for column in COLUMNS]
    return Rows(
        ids,
        *ragged(columns[GEOMETRY]),
        np.column_stack(values).astype(np.float64),
        columns[TRUNCATED.name].to_numpy(zero_copy_only=False).astype(np.bool_),
        columns[TYPE].to_pylist() if typed else [""] * len(ids),
        columns[TYPE_PROBABILITY.name].to_numpy() if typed else np.zeros(len(ids)),
    )


def ragged(outlines: Any) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """An Arrow array of WKB as vertices (m, 2) and the offsets of rings and of polygons.

    Raises
    ------
    ValueError, ShapelyError
        Something among them is no polygon.
    """
    shapes = shapely.from_wkb(outlines.to_numpy(zero_copy_only=False))
    kind, xy, offsets = shapely.to_ragged_array(shapes, include_z=False)
    if kind != shapely.GeometryType.POLYGON:
        raise ValueError("an outline is no polygon")
    rings, polygons = offsets
    return np.asarray(xy, np.float64), rings.astype(np.int64), polygons.astype(np.int64)
