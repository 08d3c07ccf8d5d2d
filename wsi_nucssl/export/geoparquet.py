"""GeoParquet 1.1: a table with outlines, compressed, of which readers take the columns and the places that they need.

The rows have the order, the ids, the columns and the units of the CSV, and the outlines of the GeoJSON: level-0 px, in
no geographic system (`crs: null`; without it, readers take longitudes and latitudes for granted). The column `bbox`
holds the box around each outline; row groups follow the slide's blocks, so that who asks for a region reads only
those that reach it. https://geoparquet.org/releases/v1.1.0/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.base import ExportContext, Exporter, WriteNuclei
from wsi_nucssl.export.columns import COLUMNS, DECIMALS, TRUNCATED, TYPE, TYPE_PROBABILITY
from wsi_nucssl.export.cuts import Cuts
from wsi_nucssl.export.ids import id_letters
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
def open_table(path: Path, schema: Any, batch: Callable[[Nuclei], Any]) -> Iterator[WriteNuclei]:
    """A Parquet file of row groups of `ROWS` nuclei; `batch` makes the rows of a table."""
    with parquet.ParquetWriter(path, schema, compression="zstd", use_dictionary=[TYPE]) as file:
        cuts = Cuts(ROWS, lambda nuclei: file.write_batch(batch(nuclei), row_group_size=ROWS))
        yield cuts.add
        cuts.end()


def _open(path: Path, context: ExportContext) -> AbstractContextManager[WriteNuclei]:
    schema = _schema(context)
    return open_table(path, schema, lambda nuclei: _batch(nuclei, context, schema))


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
    """Rows of the file."""
    centroids = np.column_stack([context.centroids_px(nuclei), context.centroids_um(nuclei)])
    measured = context.measured(nuclei) / 10**DECIMALS
    xy = vertices_px(nuclei, context)
    columns = [
        spelled(context.ids(nuclei)),
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
    columns += [outlines(nuclei, xy), _boxes(xy, nuclei)]
    return pa.record_batch(columns, schema=schema)


def vertices_px(nuclei: Nuclei, context: ExportContext) -> NDArray[np.float64]:
    """Vertices as files have them, level-0 (x, y) rounded to 0.01 px, float64 (m, 2)."""
    return context.transform.centi_px(nuclei.ring_xy) / 10**COORDINATE_DECIMALS


def spelled(ids: NDArray[np.uint8]) -> Any:
    """Ids (n, 16) as an Arrow array of texts."""
    return _texts(pa.string(), id_letters(ids).ravel(), np.arange(len(ids) + 1) * 36)


def outlines(nuclei: Nuclei, xy: NDArray[np.float64]) -> Any:
    """Outlines as an Arrow array of WKB; `xy` are their vertices, float64 (m, 2)."""
    wkb, offsets = polygons_to_wkb(xy, nuclei.ring_offsets, nuclei.polygon_offsets)
    return _texts(pa.binary(), wkb, offsets)


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
