"""Nuclei of a file as a picture needs them: those near a region, with colour, class and one measurement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.doubts import Doubt
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.export.base import Classification
from wsi_nucssl.export.columns import COLUMNS
from wsi_nucssl.export.objects import Nucleus
from wsi_nucssl.export.reading import NucleiFile
from wsi_nucssl.export.stored import ENDINGS, read_stored
from wsi_nucssl.geometry import Point

Colour = tuple[int, int, int]
ViewBox = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax in px of the file."""

_ALSO: Final = {column.name: column.qupath for column in COLUMNS} | {
    column.qupath: column.name for column in COLUMNS
}
"""A measurement's name in tables and in QuPath."""
_AT_A_TIME: Final = 8192
_DAMAGE: Final = (TypeError, ValueError, IndexError)


@dataclass(frozen=True, slots=True)
class DrawableNuclei:
    """One nucleus.

    Attributes
    ----------
    rings : sequence of ndarray
        float64 (n, 2), exteriors and holes, in px of the file.
    colour, name : tuple of int, and str
        Of its class.
    value : float
        The measurement asked for; NaN where it has none.
    """

    rings: Sequence[NDArray[np.float64]]
    colour: Colour
    name: str
    value: float


class Drawable(Protocol):
    """A file of nuclei."""

    path: Path
    header: Mapping[str, Any]

    @property
    def origin(self) -> tuple[float, float]:
        """Level-0 (x, y) of the file's (0, 0)."""
        ...

    @property
    def doubts(self) -> Sequence[Doubt]:
        """What was taken for what."""
        ...

    @property
    def measurements(self) -> Sequence[str]:
        """Names of measurements that nuclei have, as far as was seen."""
        ...

    def near(self, box: ViewBox) -> Iterator[DrawableNuclei]:
        """Those that may reach a box."""
        ...

    def centres(self, box: ViewBox) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Middles of those that may reach a box (n, 2), and their values (n,), many at a time."""
        ...


def open_drawable(path: Path, color_by: str = "") -> Drawable:
    """GeoJSON of anybody, or what this package wrote in another format that holds outlines.

    Raises
    ------
    InputError
        It is none, or is damaged.
    """
    is_geojson = path.name.endswith((".json", ".geojson", ".gz")) or not path.name.endswith(ENDINGS)
    return _GeoJson(path, color_by) if is_geojson else _Stored(path, color_by)


class _GeoJson:
    def __init__(self, path: Path, color_by: str) -> None:
        self.path, self._file, self._names = path, NucleiFile(path), (color_by, _ALSO.get(color_by, color_by))
        self._wanted = bool(color_by)
        self.header: Mapping[str, Any] = self._file.header
        self.measurements: list[str] = []

    @property
    def origin(self) -> tuple[float, float]:
        return _origin(self.header, self.path)

    @property
    def doubts(self) -> Sequence[Doubt]:
        return self._file.doubts

    def near(self, box: ViewBox) -> Iterator[DrawableNuclei]:
        try:
            for nucleus in self._file.near(box):
                yield DrawableNuclei(
                    nucleus.rings(), nucleus.color, _class_of(nucleus), self._value(nucleus.feature)
                )
        except _DAMAGE as error:
            raise InputError(
                f"a feature is not a polygon ({error!r})", path=self.path, remedy="Give polygons only"
            ) from error

    def centres(self, box: ViewBox) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        held: list[tuple[float, ...]] = []
        for extent, feature in self._file.extents(box):
            held.append((*extent, self._value(feature)))
            if len(held) == _AT_A_TIME:
                yield _middles(held)
                held = []
        if held:
            yield _middles(held)

    def _value(self, feature: Mapping[str, Any]) -> float:
        if not self._wanted:
            return 0.0
        measured = (feature.get("properties") or {}).get("measurements") or {}
        if isinstance(measured, list):  # as QuPath wrote them before 0.3: a list of name and value
            measured = {each.get("name"): each.get("value") for each in measured if isinstance(each, dict)}
        self.measurements = self.measurements or [str(name) for name in measured]
        for name in self._names:
            value = measured.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
        return np.nan


class _Stored:
    def __init__(self, path: Path, color_by: str) -> None:
        self.path, self._context = path, read_stored(path)[0]
        self.header: Mapping[str, Any] = self._context.header
        self.measurements = [column.name for column in COLUMNS]
        name = color_by if color_by in self.measurements else _ALSO.get(color_by)
        if color_by and name is None:
            raise UsageError(
                f"there is no measurement {color_by!r}",
                remedy=f"Choose ⟨color_by⟩ among {', '.join(self.measurements)}",
            )
        self._column = None if name is None else self.measurements.index(name)

    @property
    def origin(self) -> tuple[float, float]:
        return _origin(self.header, self.path)

    @property
    def doubts(self) -> Sequence[Doubt]:
        return ()

    def near(self, box: ViewBox) -> Iterator[DrawableNuclei]:
        types = {each.name: each.color for each in self._context.types}
        plain = Classification()
        for table in read_stored(self.path)[1]:
            xy = self._context.transform.level0(table.ring_xy)
            rows = np.flatnonzero(_reach(xy, table.ring_offsets[table.polygon_offsets], box))
            names, values = self._context.type_names(table), self._values(table.measurements)
            for row in rows.tolist():
                ends = table.ring_offsets[table.polygon_offsets[row] : table.polygon_offsets[row + 1] + 1]
                name = names[row] or plain.name
                rings = [xy[first:last] for first, last in pairwise(ends.tolist())]
                yield DrawableNuclei(rings, types.get(name, plain.color), name, float(values[row]))

    def centres(self, box: ViewBox) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        for table in read_stored(self.path)[1]:
            xy = self._context.transform.level0(table.ring_xy)
            low, high = _boxes(xy, table.ring_offsets[table.polygon_offsets])
            reach = ((high >= box[:2]) & (low <= box[2:])).all(axis=1)
            yield ((low + high) / 2)[reach], self._values(table.measurements)[reach]

    def _values(self, measured: NDArray[Any]) -> NDArray[np.float64]:
        if self._column is None:
            return np.zeros(len(measured))
        values: NDArray[np.float64] = measured[:, self._column].astype(np.float64)
        return values


def _middles(held: list[tuple[float, ...]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of boxes, each with a value."""
    rows = np.array(held)
    return (rows[:, :2] + rows[:, 2:4]) / 2, rows[:, 4]


def _boxes(
    xy: NDArray[np.float64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = (each.reduceat(xy, offsets[:-1], axis=0) for each in (np.minimum, np.maximum))
    return low, high


def _reach(xy: NDArray[np.float64], offsets: NDArray[np.int64], box: ViewBox) -> NDArray[np.bool_]:
    low, high = _boxes(xy, offsets)
    return np.asarray(((high >= box[:2]) & (low <= box[2:])).all(axis=1), np.bool_)


def _class_of(nucleus: Nucleus) -> str:
    found = (nucleus.feature.get("properties") or {}).get("classification")
    name = found.get("name") if isinstance(found, dict) else found
    return name if isinstance(name, str) else ""


def _origin(header: Mapping[str, Any], path: Path) -> tuple[float, float]:
    try:
        place = Point.parse(header.get("origin_l0", (0, 0)))
    except UsageError as error:
        raise InputError(f"its origin_l0 is no place ({error})", path=path) from error
    return place.x, place.y
