"""Tables of nuclei: CSV and GeoParquet."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray
from shapely.errors import ShapelyError

from wsi_nucssl.export.csv import COLUMN_NAMES, TYPE_COLUMNS
from wsi_nucssl.verification.claims import Claims
from wsi_nucssl.verification.fault import Tally
from wsi_nucssl.verification.geojson import Content
from wsi_nucssl.verification.outlines import Ids, OutlineChecks, Reach

_AT_A_TIME: Final = 4096
_DAMAGE: Final = (OSError, EOFError, ValueError, KeyError, TypeError, ShapelyError, csv.Error)


def look_at_csv(path: Path, claims: Claims, tally: Tally) -> Content:
    """Go through a .csv of nuclei; what it counts from is known by the run alone."""
    count, ids = 0, Ids()
    reach = Reach.of(claims.origin_l0(), claims.size_of(claims.manifest.get("slide")))
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, strict=True)
            names = next(rows, [])
            if tuple(names) not in (COLUMN_NAMES, (*COLUMN_NAMES, *TYPE_COLUMNS)):
                tally.note("damaged", "its first line does not name the columns of a table of nuclei")
                return Content()
            numbers = slice(1, len(COLUMN_NAMES))
            for row in rows:
                count += 1
                if len(row) != len(names):
                    raise ValueError(f"row {count} has {len(row)} of {len(names)} columns")
                ids.add(row[0])
                values = [float(each) for each in row[numbers]]
                if not all(map(math.isfinite, values)):
                    tally.note("measurement", f"row {count} has a number that is not finite")
                place = np.array([values[:2]])
                if reach.leaves(place, place).any():
                    tally.note("outside", f"row {count} lies outside the slide")
        with path.open("rb") as raw:
            raw.seek(-1, 2)
            if raw.read(1) != b"\n":
                raise ValueError("its last line does not end")
    except _DAMAGE as error:
        tally.note("damaged", f"it is cut off or damaged after {count} rows ({error})")
    ids.judge(tally, "row")
    return Content(count)


def is_table_of_nuclei(path: Path) -> bool:
    """True of a .csv whose first line is that of a table of nuclei."""
    try:
        with path.open("rb") as file:
            return file.read(64).startswith(",".join(COLUMN_NAMES[:3]).encode())
    except OSError:
        return False


def look_at_parquet(path: Path, claims: Claims, tally: Tally) -> Content:
    """Go through a GeoParquet file, a few thousand rows at a time."""
    from wsi_nucssl.export.geoparquet import GEOMETRY, OURS, open_parquet

    count, ids = 0, Ids()
    header: dict[str, Any] = {}
    try:
        with open_parquet(path) as file:
            metadata = file.schema_arrow.metadata or {}
            header = orjson.loads(metadata[OURS]) if OURS in metadata else {}
            if not header:
                return Content()
            reach = Reach.of(header.get("origin_l0"), claims.size_of(header.get("slide")))
            checks = OutlineChecks(tally, reach)
            for batch in file.iter_batches(_AT_A_TIME):
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                _look(columns["id"].to_pylist(), columns[GEOMETRY], count, ids, checks)
                count += batch.num_rows
    except _DAMAGE as error:
        tally.note("damaged", f"it is cut off or damaged after {count} rows ({error})")
    ids.judge(tally, "row")
    return Content(count, header)


def _look(names: list[str], geometry: Any, first: int, ids: Ids, checks: OutlineChecks) -> None:
    for name in names:
        ids.add(name)
    if not names:
        return
    outlines = shapely.from_wkb(geometry.to_numpy(zero_copy_only=False))
    kind, xy, offsets = shapely.to_ragged_array(outlines, include_z=False)
    if kind != shapely.GeometryType.POLYGON:
        raise ValueError("an outline is no polygon")
    rings, polygons = (each.astype(np.int64) for each in offsets)
    points: NDArray[np.float64] = np.asarray(xy, np.float64)
    checks.add([f"row {first + at}" for at in range(1, len(names) + 1)], points, rings, polygons)
