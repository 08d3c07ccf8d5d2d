"""Files of this package back into tables, a few thousand nuclei at a time: for other formats, and for `read_nuclei`.

What a file says is kept to the digit: its vertices, ids and measurements are those of whatever is made of it.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray
from shapely.errors import ShapelyError

from wsi_nucssl.errors import InputError, WsiNucsslError
from wsi_nucssl.export.base import ExportContext
from wsi_nucssl.export.columns import COLUMNS, DECIMALS, TRUNCATED, TYPE, TYPE_PROBABILITY
from wsi_nucssl.export.reading import NucleiFile
from wsi_nucssl.export.transform import COORDINATE_DECIMALS, CanvasTransform
from wsi_nucssl.geometry import Mpp, Point
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.schema import types_of

ENDINGS: Final = (".geojson", ".geojson.gz", ".parquet")
"""Of the formats that hold all there is to know of a nucleus."""
_OURS: Final = "wsi_nucssl"
_AT_A_TIME: Final = 4096
_FEATURES_AT_A_TIME: Final = 512
"""Fewer, since Python's collector looks at all lists of coordinates that there are, again and again."""
_OFF_GRID_PX: Final = 0.02
"""Level-0 px that a vertex may lie off its px corner: it was rounded to 0.01 px."""
_ON_GRID: Final = 0.98
"""Part of the vertices that lie on px corners, at least; those at the slide's rim may not."""
_FARTHEST_PX: Final = 2e7
_DAMAGE: Final = (
    OSError,
    EOFError,
    zlib.error,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    ShapelyError,
)


@dataclass(frozen=True, slots=True)
class StoredTransform(CanvasTransform):
    """Vertices of a file, in steps of 0.01 px as they stand there; scale and origin say how they came there."""

    def level0(self, xy: NDArray[np.int32] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Vertices in the file's px, float64 (m, 2)."""
        return xy.astype(np.float64) / 10**COORDINATE_DECIMALS

    def centi_px(self, xy: NDArray[np.int32]) -> NDArray[np.int64]:
        """Vertices as they are, int64 (m, 2)."""
        return xy.astype(np.int64)


@dataclass(frozen=True, slots=True)
class StoredContext(ExportContext):
    """What the nuclei of a file stand for.

    In their tables `ring_xy` is in 0.01 px of the file, `measurements` are float64 in the units of `COLUMNS`, and
    `seed_xy`, of which ids are made, holds the 16 bytes of the id itself.
    """

    def ids(self, nuclei: Nuclei) -> NDArray[np.uint8]:
        """See `ExportContext.ids`."""
        return np.ascontiguousarray(nuclei.seed_xy).view(np.uint8).reshape(-1, 16)

    def measured(self, nuclei: Nuclei) -> NDArray[np.int64]:
        """See `ExportContext.measured`."""
        return np.rint(nuclei.measurements.astype(np.float64) * 10**DECIMALS).astype(np.int64)

    def canvas_xy(self, nuclei: Nuclei) -> NDArray[np.int32]:
        """See `ExportContext.canvas_xy`: the px corners that the vertices were before they were rounded.

        Raises
        ------
        InputError
            They are none, since outlines were changed or the file does not say the scale exactly enough.
        """
        place = self.transform
        scale = np.array([place.scale_x, place.scale_y])
        xy = (place.level0(nuclei.ring_xy) + np.array([place.origin_x, place.origin_y])) / scale
        corners: NDArray[np.float64] = np.rint(xy)
        if len(xy) and np.mean(np.abs(xy - corners).max(axis=1) * scale.max() < _OFF_GRID_PX) < _ON_GRID:
            raise InputError(
                "its outlines do not follow the px that the model answered at",
                remedy="Have segment write the label image",
            )
        whole: NDArray[np.int32] = corners.astype(np.int32)
        return whole


def read_stored(path: Path) -> tuple[StoredContext, Iterator[Nuclei]]:
    """A .geojson, .geojson.gz or .parquet file of this package: what its nuclei stand for, and tables of them.

    Parameters
    ----------
    path : Path
        The file. Its tables are read as they are asked for, in its order.

    Raises
    ------
    InputError
        The file is none of these, is damaged, or was written by another program; from the tables too.
    """
    if not path.name.endswith(ENDINGS):
        raise InputError(
            f"nuclei with outlines are read from {', '.join(ENDINGS)} files",
            path=path,
            remedy="Give a file of one of these formats",
        )
    if not path.is_file():
        raise InputError("there is no such file", path=path, remedy="Check the path")
    pieces = _guarded(path, _parquet(path) if path.name.endswith(".parquet") else _geojson(path))
    header = cast("Mapping[str, Any]", next(pieces))
    try:
        context = _context(header)
    except (*_DAMAGE, WsiNucsslError) as error:
        raise InputError(
            f"its header is not one that this package writes ({error!r})",
            path=path,
            remedy="Give a file that segment or export wrote, unchanged",
        ) from error
    types = [each.name for each in context.types]
    return context, _guarded(path, (rows.table(types) for rows in cast("Iterator[_Rows]", pieces)))


def _guarded(path: Path, items: Iterator[Any]) -> Iterator[Any]:
    """The items; whatever is wrong with the file is an `InputError` that names it."""
    try:
        yield from items
    except _DAMAGE as error:
        raise InputError(
            f"not a file of nuclei that this package wrote ({error})",
            path=path,
            remedy="Give a file that segment or export wrote, unchanged",
        ) from error


def _context(header: Mapping[str, Any]) -> StoredContext:
    mpp, origin = Mpp.parse(header["slide_mpp"]), Point.parse(header["origin_l0"])
    answer = Mpp.square(header["model_mpp"])
    scale = header.get("scale_l0", (answer.x / mpp.x, answer.y / mpp.y))
    return StoredContext(
        StoredTransform(float(scale[0]), float(scale[1]), origin.x, origin.y),
        answer,
        str(header["slide"]),
        header,
        types=types_of(header.get("types", ())),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Nuclei as a file has them."""

    ids: Sequence[str]
    xy: NDArray[np.float64]
    ring_offsets: NDArray[np.int64]
    polygon_offsets: NDArray[np.int64]
    measurements: NDArray[np.float64]
    truncated: NDArray[np.bool_]
    types: Sequence[str]
    type_probability: NDArray[np.float64]

    def table(self, types: Sequence[str]) -> Nuclei:
        """As `StoredContext` wants them."""
        self._check()
        count = len(self.ids)
        index = {name: place for place, name in enumerate(types)}
        type_id = np.array([index.get(name, -1) for name in self.types], np.int16)
        probability = np.zeros((count, len(types)), np.float32)
        known = np.flatnonzero(type_id >= 0)
        probability[known, type_id[known]] = self.type_probability[known]
        seeds = np.frombuffer(b"".join(uuid.UUID(each).bytes for each in self.ids), np.int64).reshape(-1, 2)
        return Nuclei(
            seeds,
            np.rint(self.xy * 10**COORDINATE_DECIMALS).astype(np.int32),
            self.ring_offsets,
            self.polygon_offsets,
            cast("NDArray[np.float32]", self.measurements),
            self.truncated,
            type_id,
            probability,
        )

    def _check(self) -> None:
        if not np.isfinite(self.measurements).all():
            raise ValueError("a measurement is no number")
        if not (np.abs(self.xy) < _FARTHEST_PX).all():
            raise ValueError("a vertex lies on no slide")
        closed = self.xy[self.ring_offsets[:-1]] == self.xy[self.ring_offsets[1:] - 1]
        rings, vertices = np.diff(self.polygon_offsets), np.diff(self.ring_offsets)
        if not (closed.all() and (rings >= 1).all() and (vertices >= 4).all()):
            raise ValueError("an outline is not closed")


def _parquet(path: Path) -> Iterator[Any]:
    """The header, then rows."""
    from wsi_nucssl.export.geoparquet import GEOMETRY, OURS, open_parquet

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


def _rows_of_columns(columns: Mapping[str, Any], *, typed: bool) -> _Rows:
    ids = columns["id"].to_pylist()
    values = [columns[column.name].to_numpy(zero_copy_only=False) for column in COLUMNS]
    outlines = shapely.from_wkb(columns["geometry"].to_numpy(zero_copy_only=False))
    kind, xy, offsets = shapely.to_ragged_array(outlines, include_z=False)
    if kind != shapely.GeometryType.POLYGON:
        raise ValueError("an outline is no polygon")
    rings, polygons = offsets
    return _Rows(
        ids,
        np.asarray(xy, np.float64),
        rings.astype(np.int64),
        polygons.astype(np.int64),
        np.column_stack(values).astype(np.float64),
        columns[TRUNCATED.name].to_numpy(zero_copy_only=False).astype(np.bool_),
        columns[TYPE].to_pylist() if typed else [""] * len(ids),
        columns[TYPE_PROBABILITY.name].to_numpy() if typed else np.zeros(len(ids)),
    )


def _geojson(path: Path) -> Iterator[Any]:
    """The header, then rows."""
    nuclei = NucleiFile(path)
    if not nuclei.header:
        raise KeyError(_OURS)
    yield nuclei.header
    features = (nucleus.feature for nucleus in nuclei)
    for block in iter(lambda: [*islice(features, _FEATURES_AT_A_TIME)], []):
        yield _rows_of_features(block)


def _rows_of_features(features: Sequence[Mapping[str, Any]]) -> _Rows:
    rings = [_rings(feature["geometry"]) for feature in features]
    properties = [feature["properties"] for feature in features]
    measured = [each["measurements"] for each in properties]
    return _Rows(
        [feature["id"] for feature in features],
        np.array([vertex for polygon in rings for ring in polygon for vertex in ring], np.float64),
        _offsets(len(ring) for polygon in rings for ring in polygon),
        _offsets(map(len, rings)),
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


def _offsets(lengths: Iterable[int]) -> NDArray[np.int64]:
    return np.append(0, np.cumsum([*lengths])).astype(np.int64)
