"""Files of nuclei as the viewer wants them: a few thousand at a time, whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.doubts import Doubt
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.export.columns import COLUMNS, DECIMALS, TRUNCATED, TYPE_PROBABILITY
from wsi_nucssl.export.objects import Nucleus, as_ring
from wsi_nucssl.export.reading import NucleiFile
from wsi_nucssl.export.stored import ENDINGS as STORED
from wsi_nucssl.export.stored import StoredContext, read_stored
from wsi_nucssl.geometry import Point
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.viewer.batch import PLAIN, Batch, id_of
from wsi_nucssl.viewer.circles import NO_OUTLINES, circles

_GEOJSON: Final = (".geojson", ".geojson.gz", ".json", ".json.gz")
_STORED: Final = tuple(ending for ending in STORED if ending not in _GEOJSON)
ENDINGS: Final = (*_GEOJSON, *_STORED, ".csv")
_AT_A_TIME: Final = 4096


class NucleiSource:
    """A file of nuclei, read a few thousand at a time.

    Parameters
    ----------
    path : Path
        A file of one of `ENDINGS`.
    origin : Point
        Level-0 point that the coordinates of other programs' files count from; ours say it themselves.

    Attributes
    ----------
    header : mapping of str to object
        What our files say of their origin; empty for other programs'.
    doubts : list of Doubt
        What was taken for what, once all has been read.

    Raises
    ------
    InputError
        The file cannot be read; from the batches too.
    """

    def __init__(self, path: Path, origin: Point) -> None:
        if not path.name.lower().endswith(ENDINGS):
            raise InputError(
                f"the viewer reads nuclei from {', '.join(ENDINGS)} files",
                path=path,
                remedy="Give the file that segment or QuPath wrote, for a label image one beside it",
            )
        self.path = path
        self.doubts: list[Doubt] = []
        self._stored = read_stored(path) if path.name.endswith(_STORED) else None
        self._file = None if self._stored or path.suffix == ".csv" else NucleiFile(path)
        self.header: Mapping[str, Any] = (
            self._stored[0].header if self._stored else self._file.header if self._file else {}
        )
        try:
            self._origin = (
                Point.parse(cast("Sequence[int]", self.header["origin_l0"]))
                if "origin_l0" in self.header
                else origin
            )
        except UsageError as error:
            raise InputError(f"its origin_l0 is no place ({error})", path=path) from error

    def __iter__(self) -> Iterator[Batch]:
        """The nuclei in the order of the file."""
        if self._stored is not None:
            context, tables = self._stored
            yield from (of_table(table, context, self._origin) for table in tables if len(table))
        elif self._file is not None:
            nuclei = iter(self._file)
            while batch := self._of_features(islice(nuclei, _AT_A_TIME)):
                yield batch
            self.doubts = self._file.doubts
        else:
            yield from circles(self.path, self._origin)
            self.doubts = [NO_OUTLINES]

    def _of_features(self, nuclei: Iterable[Nucleus]) -> Batch | None:
        try:
            return _of_features(nuclei, self._origin)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"a feature is not a polygon with measurements ({error})",
                path=self.path,
                remedy="Export polygons only, one a nucleus",
            ) from error


def of_table(nuclei: Nuclei, context: StoredContext, origin: Point) -> Batch:
    """A table of a file of ours."""
    last = np.zeros(len(nuclei.ring_xy), np.bool_)
    last[nuclei.ring_offsets[1:] - 1] = True
    xy = context.transform.level0(nuclei.ring_xy[~last]) + np.array([origin.x, origin.y])
    vertices = np.diff(nuclei.ring_offsets) - 1
    holes = np.ones(len(vertices), np.bool_)
    holes[nuclei.polygon_offsets[:-1]] = False
    measured = context.measured(nuclei) / 10**DECIMALS
    values = {column.qupath: measured[:, index] for index, column in enumerate(COLUMNS)}
    if nuclei.truncated.any():
        values[TRUNCATED.qupath] = nuclei.truncated.astype(np.float64)
    if context.types:
        values[TYPE_PROBABILITY.qupath] = context.type_probability(nuclei) / 10**DECIMALS
    looks = [(each.name, each.color) for each in context.types]
    return Batch(
        context.ids(nuclei),
        xy,
        np.where(holes, -vertices, vertices),
        np.diff(nuclei.polygon_offsets),
        values,
        [looks[index] if index >= 0 else ("", PLAIN) for index in nuclei.type_id.tolist()],
    )


def _of_features(nuclei: Iterable[Nucleus], origin: Point) -> Batch | None:
    """The next nuclei of a file, None if there are none.

    Each is taken apart at once: Python's collector would look at all lists that are held, again and again.
    """
    rings: list[NDArray[np.float64]] = []
    vertices, counts, ids, rows, classes = [], [], [], [], []
    for nucleus in nuclei:
        before = len(rings)
        for polygon in nucleus.polygons:
            for index, points in enumerate(polygon):
                ring = _open(as_ring(points))
                rings.append(ring)
                vertices.append(-len(ring) if index else len(ring))
        counts.append(len(rings) - before)
        ids.append(id_of(nucleus.feature.get("id")))
        rows.append(_measurements(nucleus.feature))
        classes.append((_class(nucleus.feature), nucleus.color))
    if not counts:
        return None
    return Batch(
        np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16),
        np.concatenate(rings) + np.array([origin.x, origin.y]),
        np.array(vertices, np.int64),
        np.array(counts, np.int64),
        _values(rows),
        classes,
    )


def _open(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """A ring without its first vertex at its end; three vertices stay."""
    return ring[:-1] if len(ring) > 3 and (ring[0] == ring[-1]).all() else ring


def _measurements(feature: Mapping[str, Any]) -> Mapping[str, Any]:
    """By name; older QuPath wrote a list of name and value."""
    found = (feature.get("properties") or {}).get("measurements") or {}
    return {each["name"]: each["value"] for each in found} if isinstance(found, list) else found


def _values(rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.float64]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {str(name): np.array([_number(row.get(name)) for row in rows], np.float64) for name in names}


def _number(value: Any) -> float:
    """A number as it is, NaN for "NaN", nothing and text."""
    return float(value) if isinstance(value, int | float) else np.nan


def _class(feature: Mapping[str, Any]) -> str:
    found = (feature.get("properties") or {}).get("classification") or ""
    return str((found.get("name") or "") if isinstance(found, dict) else found)
