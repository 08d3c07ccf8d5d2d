"""GeoParquet 1.1: a table with outlines, compressed, of which readers take the columns and the places that they need.

The rows have the order, the ids, the columns and the units of the CSV, and the outlines of the GeoJSON: level-0 px, in
no geographic system (`crs: null`; without it, readers take longitudes and latitudes for granted). The column `bbox`
holds the box around each outline; row groups follow the slide's blocks, so that who asks for a region reads only
those that reach it. https://geoparquet.org/releases/v1.1.0/
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.base import ExportContext, Exporter, WriteNuclei
from wsi_nucssl.export.columns import COLUMNS, DECIMALS, TRUNCATED, TYPE, TYPE_PROBABILITY
from wsi_nucssl.export.transform import COORDINATE_DECIMALS
from wsi_nucssl.export.wkb import polygons_to_wkb
from wsi_nucssl.nuclei.table import Nuclei

try:
    import pyarrow as pa
    from pyarrow import parquet
except ImportError as error:
    raise UsageError(
        "Parquet needs the package pyarrow, which is not installed",
        remedy="Install it: pip install 'wsi-nucssl[parquet]'",
    ) from error

ROWS: Final = 16384
"""Nuclei in a row group; how tables are cut never shows in the file."""
GEOMETRY: Final = "geometry"
OURS: Final = b"wsi_nucssl"
"""Key of the header among the file's metadata; `geo` is GeoParquet's."""
_SIDES: Final = ("xmin", "ymin", "xmax", "ymax")
_PLACES: Final = ("centroid_x_px", "centroid_y_px", "centroid_x_um", "centroid_y_um")
_PLACE_DECIMALS: Final = (COORDINATE_DECIMALS, COORDINATE_DECIMALS, DECIMALS, DECIMALS)
_GEO: Final = {
    "version": "1.1.0",
    "primary_column": GEOMETRY,
    "columns": {
        GEOMETRY: {
            "encoding": "WKB",
            "geometry_types": ["Polygon"],
            "crs": None,
            "edges": "planar",
            "orientation": "counterclockwise",
            "covering": {"bbox": {side: ["bbox", side] for side in _SIDES}},
        }
    },
}


@contextmanager
def _open(path: Path, context: ExportContext) -> Iterator[WriteNuclei]:
    schema = _schema(context)
    waiting: list[Any] = []

    def write_rows(least: int) -> None:
        """Write row groups as long as `least` rows wait; what is left stays."""
        table = pa.Table.from_batches(waiting, schema)
        first = 0
        while table.num_rows - first >= least and first < table.num_rows:
            file.write_table(table.slice(first, ROWS).combine_chunks(), row_group_size=ROWS)
            first += ROWS
        waiting[:] = table.slice(first).combine_chunks().to_batches() if first < table.num_rows else []

    def write(nuclei: Nuclei) -> None:
        waiting.extend(_batch(some, context, schema) for some in nuclei.slices(ROWS))
        if sum(batch.num_rows for batch in waiting) >= ROWS:
            write_rows(ROWS)

    with parquet.ParquetWriter(path, schema, compression="zstd", use_dictionary=[TYPE]) as file:
        yield write
        write_rows(1)


def open_parquet(path: Path) -> Any:
    """A file to read, a `pyarrow.parquet.ParquetFile`."""
    return parquet.ParquetFile(path)


def _schema(context: ExportContext) -> Any:
    """Columns in the order of the CSV, then outlines and their boxes; the header stands in the metadata."""
    numbers = [*_PLACES, *(column.name for column in COLUMNS)]
    typed = [(TYPE, pa.string()), (TYPE_PROBABILITY.name, pa.float64())] if context.types else []
    return pa.schema(
        [
            ("id", pa.string()),
            *((name, pa.float64()) for name in numbers),
            (TRUNCATED.name, pa.bool_()),
            *typed,
            (GEOMETRY, pa.binary()),
            ("bbox", pa.struct([(side, pa.float64()) for side in _SIDES])),
        ],
        {b"geo": orjson.dumps(_GEO), OURS: orjson.dumps(dict(context.header))},
    )


def _batch(nuclei: Nuclei, context: ExportContext, schema: Any) -> Any:
    """Rows of the file; they share no memory with the table."""
    centroids = np.column_stack([context.centroids_px(nuclei), context.centroids_um(nuclei)])
    measured = context.measured(nuclei) / 10**DECIMALS
    xy = context.transform.centi_px(nuclei.ring_xy) / 10**COORDINATE_DECIMALS
    columns = [
        _ids(context.ids(nuclei)),
        *(
            pa.array(column.round(digits))
            for column, digits in zip(centroids.T, _PLACE_DECIMALS, strict=True)
        ),
        *map(pa.array, np.ascontiguousarray(measured.T)),
        pa.array(nuclei.truncated),
    ]
    if context.types:
        columns += [
            pa.array(context.type_names(nuclei), pa.string()),
            pa.array(context.type_probability(nuclei) / 10**DECIMALS),
        ]
    wkb, offsets = polygons_to_wkb(xy, nuclei.ring_offsets, nuclei.polygon_offsets)
    columns += [_texts(pa.binary(), wkb, offsets), _boxes(xy, nuclei)]
    return pa.record_batch(columns, schema=schema)


def _ids(ids: NDArray[np.uint8]) -> Any:
    """Ids (n, 16) as `ids.spelled_ids` spells them."""
    letters = np.frombuffer(b"0123456789abcdef", np.uint8)
    digits = letters[np.stack([ids >> 4, ids & 15], axis=2)].reshape(-1, 32)
    spelled = np.full((len(ids), 36), ord("-"), np.uint8)
    for first, last, shift in ((0, 8, 0), (8, 12, 1), (12, 16, 2), (16, 20, 3), (20, 32, 4)):
        spelled[:, first + shift : last + shift] = digits[:, first:last]
    return _texts(pa.string(), spelled.ravel(), np.arange(len(ids) + 1) * 36)


def _texts(kind: Any, content: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Any:
    """Texts or bytes that lie end to end as an Arrow array."""
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(content)]
    return pa.Array.from_buffers(kind, len(offsets) - 1, buffers)


def _boxes(xy: NDArray[np.float64], nuclei: Nuclei) -> Any:
    """The least box around each outline; `xy` are its vertices."""
    first = nuclei.ring_offsets[nuclei.polygon_offsets[:-1]]
    least, most = np.minimum.reduceat(xy, first), np.maximum.reduceat(xy, first)
    return pa.StructArray.from_arrays([pa.array(side) for side in (*least.T.copy(), *most.T.copy())], _SIDES)


PARQUET: Final = Exporter(_open)
