"""Formats by name: what `segment` writes. A format's name is the ending of its files, without the dot.

A package adds one by an entry point in `wsi_nucssl.exporters`, `ending = "package.module:EXPORTER"`, where the thing is
an `export.base.Exporter`. Nothing heavy is imported until a format is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsi_nucssl.registry import Plugin, Registry

if TYPE_CHECKING:
    from wsi_nucssl.export.base import Exporter

EXPORTERS: Final[Registry[Exporter]] = Registry(
    "format",
    "wsi_nucssl.exporters",
    Plugin("geojson", "wsi_nucssl.export.geojson:GEOJSON", "outlines and measurements, as QuPath opens them"),
    Plugin("geojson.gz", "wsi_nucssl.export.geojson:GEOJSON_GZ", "the same, compressed"),
    Plugin("csv", "wsi_nucssl.export.csv:CSV", "a table, one row a nucleus, units in the columns' names"),
    Plugin(
        "parquet",
        "wsi_nucssl.export.geoparquet:PARQUET",
        "GeoParquet: table and outlines in one, as geopandas opens it",
    ),
    Plugin("zarr", "wsi_nucssl.export.labels:ZARR", "a label image, OME-Zarr 0.5, as napari opens it"),
    Plugin(
        "h5ad",
        "wsi_nucssl.export.anndata:ANNDATA",
        "AnnData: measurements as a matrix, with centroids, as squidpy opens it",
    ),
    Plugin(
        "spatialdata.zarr",
        "wsi_nucssl.export.spatialdata:SPATIALDATA",
        "SpatialData: outlines and their table, as spatialdata opens it",
    ),
    Plugin(
        "ann.dcm",
        "wsi_nucssl.export.dicom:DICOM",
        "DICOM annotations, beside slides that are DICOM, as their viewers and archives take them",
    ),
)

DEFAULT: Final = "geojson"
_ALSO_CALLED: Final = {
    "labels": "zarr",
    "anndata": "h5ad",
    "spatialdata": "spatialdata.zarr",
    "dicom": "ann.dcm",
}
"""What a format holds, where people may look for it by that instead of by its ending."""


def format_of(path: Path) -> str | None:
    """The format whose ending the name of `path` has, the longest one; None if it has none."""
    fitting = [name for name in EXPORTERS.names if path.name.endswith(f".{name}")]
    return max(fitting, key=len, default=None)


def in_order(formats: Iterable[str]) -> tuple[str, ...]:
    """The formats without repetitions, in the registry's order: how they were listed never matters.

    Raises
    ------
    UsageError
        There is no such format.
    """
    wanted = {_ALSO_CALLED.get(name, name) for name in map(str, formats)}
    for name in wanted - {*EXPORTERS.names}:
        EXPORTERS.get(name)
    return tuple(name for name in EXPORTERS.names if name in wanted)


def also_called() -> str:
    """What formats hold where that is no ending, for help: "labels (zarr), anndata (h5ad)"."""
    return ", ".join(f"{what} ({name})" for what, name in _ALSO_CALLED.items())


def endings() -> str:
    """All endings in words, for messages: ".geojson, .csv or .parquet" where there are three."""
    *others, last = (f".{name}" for name in EXPORTERS.names)
    return f"{', '.join(others)} or {last}"
