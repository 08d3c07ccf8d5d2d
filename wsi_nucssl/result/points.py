"""Nuclei of a CSV, which are places without outlines: what reads them, and the circles that pictures show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.export.columns import COLUMNS, TRUNCATED, TYPE, TYPE_PROBABILITY
from wsi_nucssl.export.csv import COLUMN_NAMES, TYPE_COLUMNS
from wsi_nucssl.geometry import Mpp, Point
from wsi_nucssl.result.outlines import Outlines

if TYPE_CHECKING:
    from wsi_nucssl.result.result import Result


def read_points(path: Path, origin: Point) -> tuple[NDArray[np.str_], Outlines, dict[str, Any], Mpp | None]:
    """The ids, places, measurements and resolution in a .csv that this package wrote.

    Parameters
    ----------
    path : Path
        The file.
    origin : Point
        Level-0 point that its coordinates count from.

    Returns
    -------
    ids : ndarray of str
        (n,).
    points : Outlines
        (n,) shapely points in level-0 px.
    measurements : dict
        By column.
    mpp : Mpp or None
        µm per level-0 px, as the places in both units say; None where there is none.

    Raises
    ------
    InputError
        It is no such file, or is damaged.
    """
    try:
        table = pd.read_csv(path, dtype={"id": str, TYPE: str}, na_filter=False)
        if tuple(table.columns) not in (COLUMN_NAMES, (*COLUMN_NAMES, *TYPE_COLUMNS)):
            raise ValueError("its first line does not name the columns of a table of nuclei")
        numbers = {name: table[name].to_numpy(np.float64) for name in table if name not in ("id", TYPE)}
        if not all(np.isfinite(values).all() for values in numbers.values()):
            raise ValueError("a value is no number")
    except FileNotFoundError as error:
        raise InputError("there is no such file", path=path, remedy="Check the path") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"not a table of nuclei that this package wrote ({error})",
            path=path,
            remedy="Give a file that segment or export wrote, unchanged",
        ) from error
    px, um = (np.column_stack([numbers[f"centroid_{axis}_{unit}"] for axis in "xy"]) for unit in ("px", "um"))
    measured: dict[str, Any] = {column.name: numbers[column.name] for column in COLUMNS}
    measured[TRUNCATED.name] = numbers[TRUNCATED.name] == 1
    if TYPE in table:
        measured |= {
            TYPE: table[TYPE].to_numpy(object),
            TYPE_PROBABILITY.name: numbers[TYPE_PROBABILITY.name],
        }
    points: Any = shapely.points(px + np.array([origin.x, origin.y]))
    return table["id"].to_numpy(np.str_), np.atleast_1d(points), measured, _mpp(px, um)


def _mpp(px: NDArray[np.float64], um: NDArray[np.float64]) -> Mpp | None:
    """By all places together, to six digits; each was rounded."""
    total = np.abs(px).sum(axis=0)
    if not (len(px) and total.all()):
        return None
    x, y = (float(f"{ratio:.6g}") for ratio in (np.abs(um).sum(axis=0) / total).tolist())
    return Mpp(x, y)


def are_points(outlines: Outlines) -> bool:
    """True of nuclei without outlines."""
    return bool(len(outlines)) and bool((shapely.get_type_id(outlines) == shapely.GeometryType.POINT).all())


def shown_outlines(result: Result) -> Outlines:
    """What pictures show: outlines, or for points circles of the nuclei's areas."""
    if not are_points(result.polygons):
        return result.polygons
    mpp = result.frame.mpp.mean if result.frame.mpp else 1.0
    radius = np.sqrt(np.maximum(result.measurements["area_um2"], 0) / np.pi) / mpp
    circles: Any = shapely.buffer(result.polygons, np.maximum(radius, 0.5), quad_segs=4)
    return np.asarray(circles, object)


@dataclass(frozen=True, slots=True)
class NoFeatures:
    """In the place of the Features of nuclei without outlines."""

    def write(self, path: Path, header: Mapping[str, object]) -> None:  # noqa: ARG002
        """Refuse."""
        refuse()

    def as_json(self) -> bytes:
        """Refuse."""
        refuse()

    def take(self, rows: NDArray[np.intp]) -> NoFeatures:  # noqa: ARG002
        """Those of some rows are none either."""
        return self


def refuse() -> NoReturn:
    """Say that outlines are needed.

    Raises
    ------
    UsageError
        Always.
    """
    raise UsageError(
        "these nuclei were read from a .csv, which holds no outlines",
        remedy="Read the .geojson or .parquet file beside it",
    )
