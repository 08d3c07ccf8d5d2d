"""SpatialData's folder: outlines as shapes, and a table of their measurements that annotates them.

    NAME.spatialdata.zarr/
        shapes/nuclei/shapes.parquet      GeoParquet: outlines by id, in level-0 px
        tables/table/                     AnnData: the measurements of each, as `annotated` lays them out

Both are in the order of the other formats. The shapes lie in two coordinate systems, "global" in level-0 px and
"micrometers". The layout is written cut by cut, by zarr and pyarrow; the library spatialdata is needed to open it, and
the interop tests do. https://spatialdata.scverse.org/en/stable/design_doc.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.annotated import INSTANCE, REGION, ROWS, AnnotatedMatrix
from wsi_nucssl.export.base import ExportContext, Exporter, WriteNuclei
from wsi_nucssl.export.cuts import Cuts
from wsi_nucssl.nuclei.table import Nuclei

try:
    import pyarrow as pa

    from wsi_nucssl.export.geoparquet import GEOMETRY, open_table, outlines, spelled, vertices_px
except (ImportError, UsageError) as error:
    raise UsageError(
        "SpatialData needs the package pyarrow, which is not installed",
        remedy="Install it: pip install 'wsi-nucssl[spatialdata]'",
    ) from error

SHAPES: Final = "shapes/nuclei"
PARQUET: Final = f"{SHAPES}/shapes.parquet"
TABLE: Final = "tables/table"
ALL_CHUNKS: Final = "all_chunks_are_written"
"""Of a table as we write it: a chunk that is missing is lost, and no zeros. Who saves it again may leave such out."""
_ELEMENT: Final = "nuclei"
_ZSTD_LEVEL: Final = 1
_CONTAINER: Final = "0.2"
_SHAPES_VERSION: Final = "0.3"
_TABLE_VERSION: Final = "0.2"
_GEO: Final = {
    "version": "1.1.0",
    "primary_column": GEOMETRY,
    "columns": {GEOMETRY: {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": None}},
}
_PANDAS: Final = {
    "index_columns": ["id"],
    "column_indexes": [],
    "columns": [
        {
            "name": name,
            "field_name": name,
            "pandas_type": kind,
            "numpy_type": "object",
            "metadata": None,
        }
        for name, kind in (("id", "unicode"), (GEOMETRY, "bytes"))
    ],
    "pandas_version": "2.2.0",
}


@contextmanager
def _open(path: Path, context: ExportContext) -> Iterator[WriteNuclei]:
    container: dict[str, Any] = {
        "spatialdata_attrs": {"version": _CONTAINER},
        "wsi_nucssl": dict(context.header),
    }
    root = zarr.open_group(path, mode="w", zarr_format=3, attributes=container)
    root.create_group("shapes")
    root.create_group(SHAPES, attributes=_shapes(context))
    root.create_group("tables")
    matrix = AnnotatedMatrix(_Zarr(root.create_group(TABLE)), context, _ELEMENT)
    root[TABLE].attrs.update(_TABLE_ATTRIBUTES)
    _annotate(root[TABLE])
    cuts = Cuts(ROWS, matrix.append)
    schema = pa.schema(
        [("id", pa.string()), (GEOMETRY, pa.binary())],
        {b"geo": orjson.dumps(_GEO), b"pandas": orjson.dumps(_PANDAS)},
    )

    def rows(nuclei: Nuclei) -> Any:
        columns = [spelled(context.ids(nuclei)), outlines(nuclei, vertices_px(nuclei, context))]
        return pa.record_batch(columns, schema=schema)

    with open_table(path / PARQUET, schema, rows) as write_shapes:

        def write(nuclei: Nuclei) -> None:
            write_shapes(nuclei)
            cuts.add(nuclei)

        yield write
        cuts.end()


_TABLE_ATTRIBUTES: Final[dict[str, Any]] = {
    "spatialdata-encoding-type": "ngff:regions_table",
    "region": _ELEMENT,
    "region_key": REGION,
    "instance_key": INSTANCE,
    "version": _TABLE_VERSION,
    ALL_CHUNKS: True,
}


def _annotate(table: Any) -> None:
    """Say in the table too what its rows annotate."""
    tree = _Zarr(table)
    tree.group("uns/spatialdata_attrs", {"encoding-type": "dict", "encoding-version": "0.1.0"})
    for name in ("region", "region_key", "instance_key"):
        tree.put(
            f"uns/spatialdata_attrs/{name}",
            _TABLE_ATTRIBUTES[name],
            {"encoding-type": "string", "encoding-version": "0.2.0"},
        )


def _shapes(context: ExportContext) -> dict[str, Any]:
    """Attributes of the shapes: their axes, and where they lie."""
    place = context.transform
    um_per_px = [context.mpp.x / place.scale_x, context.mpp.y / place.scale_y]
    return {
        "encoding-type": "ngff:shapes",
        "axes": ["x", "y"],
        "coordinateTransformations": [
            {"type": "identity", "input": _system("xy"), "output": _system("global")},
            {
                "type": "scale",
                "scale": um_per_px,
                "input": _system("xy"),
                "output": _system("micrometers"),
            },
        ],
        "spatialdata_attrs": {"version": _SHAPES_VERSION},
    }


def _system(name: str) -> dict[str, Any]:
    return {"name": name, "axes": [{"name": axis, "type": "space", "unit": "unit"} for axis in "xy"]}


@dataclass(frozen=True, slots=True)
class _Zarr:
    """A `Tree` in a zarr group."""

    root: Any

    def group(self, path: str, attributes: Mapping[str, object]) -> None:
        group = self.root.create_group(path) if path else self.root
        group.attrs.update(attributes)

    def grow(self, path: str, dtype: str, width: int, attributes: Mapping[str, object]) -> _Array:
        more = (width,) if width else ()
        return _Array(
            self._create(path, (0, *more), (ROWS, *more), str if dtype == "id" else dtype, attributes)
        )

    def put(self, path: str, value: str | Sequence[str], attributes: Mapping[str, object]) -> None:
        content = np.array(value if isinstance(value, str) else [*value], object)
        array = self._create(
            path, content.shape, (max(1, len(content)),) if content.ndim else (), str, attributes
        )
        array[...] = content

    def _create(
        self, path: str, shape: Any, chunks: Any, dtype: Any, attributes: Mapping[str, object]
    ) -> Any:
        return self.root.create_array(
            path,
            shape=shape,
            chunks=chunks,
            dtype=dtype,
            compressors=[ZstdCodec(level=_ZSTD_LEVEL, checksum=True)],
            attributes=attributes,
            config={"write_empty_chunks": True},
        )


@dataclass(frozen=True, slots=True)
class _Array:
    """A `Growing` array of a group; a chunk that is lost is missing, since empty ones are written."""

    array: Any

    def append(self, values: NDArray[Any]) -> None:
        first = self.array.shape[0]
        self.array.resize((first + len(values), *self.array.shape[1:]))
        self.array[first:] = values.astype("U").astype(object) if values.dtype.kind == "S" else values


SPATIALDATA: Final = Exporter(_open, is_folder=True)
