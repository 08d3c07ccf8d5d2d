"""CSV of ours as the viewer wants it: a row has no outline, so a circle of its area stands in its place."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.doubts import Doubt
from wsi_nucssl.errors import InputError
from wsi_nucssl.export.columns import COLUMNS, TRUNCATED, TYPE, TYPE_PROBABILITY
from wsi_nucssl.export.csv import COLUMN_NAMES
from wsi_nucssl.geometry import Point
from wsi_nucssl.viewer.batch import PLAIN, Batch, id_of

_AT_A_TIME: Final = 4096
_CORNERS: Final = 16
_PLACES: Final = COLUMN_NAMES[1:5]
_QUPATH: Final = {column.name: column.qupath for column in (*COLUMNS, TRUNCATED, TYPE_PROBABILITY)}
NO_OUTLINES: Final = Doubt(
    "no-outlines",
    "a .csv holds no outlines: each nucleus is drawn as a circle of its area",
    "Show the .geojson or .parquet file beside it",
)


def circles(path: Path, origin: Point) -> Iterator[Batch]:
    """The rows of a file, a few thousand at a time.

    Parameters
    ----------
    path : Path
        A .csv that this package wrote.
    origin : Point
        Level-0 point that its coordinates count from, which the file does not say.

    Raises
    ------
    InputError
        It is no such file, or is damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if not {*COLUMN_NAMES} <= {*(rows.fieldnames or ())}:
                raise ValueError("its first line does not name the columns of a table of nuclei")
            while some := [*islice(rows, _AT_A_TIME)]:
                yield _batch(some, origin)
    except FileNotFoundError as error:
        raise InputError("there is no such file", path=path, remedy="Check the path") from error
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise InputError(
            f"not a table of nuclei that this package wrote ({error})",
            path=path,
            remedy="Give a file that segment or export wrote, unchanged",
        ) from error


def _batch(rows: Sequence[Mapping[str, str]], origin: Point) -> Batch:
    x_px, y_px, x_um, y_um = (_column(rows, name) for name in _PLACES)
    um_per_px = np.array([_ratio(x_um, x_px), _ratio(y_um, y_px)])
    radius = np.sqrt(_column(rows, "area_um2") / np.pi)[:, None] / um_per_px
    angle = np.arange(_CORNERS) * (2 * np.pi / _CORNERS)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    centres = np.column_stack([x_px, y_px]) + np.array([origin.x, origin.y])
    xy = centres[:, None] + radius[:, None] * circle
    values = {_QUPATH[name]: _column(rows, name) for name in rows[0] if name in _QUPATH}
    return Batch(
        np.frombuffer(b"".join(id_of(row["id"]) for row in rows), np.uint8).reshape(-1, 16),
        xy.reshape(-1, 2),
        np.full(len(rows), _CORNERS, np.int64),
        np.ones(len(rows), np.int64),
        values,
        [(row.get(TYPE, ""), PLAIN) for row in rows],
    )


def _column(rows: Sequence[Mapping[str, str]], name: str) -> NDArray[np.float64]:
    values = np.array([float(row[name]) for row in rows], np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} is no number in a row")
    return values


def _ratio(um: NDArray[np.float64], px: NDArray[np.float64]) -> float:
    """µm per px, which the places say in both."""
    total = float(np.abs(px).sum())
    if not total:
        raise ValueError("its places do not say how many µm a px has")
    return float(np.abs(um).sum()) / total
