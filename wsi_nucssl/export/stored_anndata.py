"""AnnData of ours back into rows, from `.h5ad` files, and what SpatialData's tables share with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.export.anndata import POLYGONS, RINGS, XY, open_hdf5
from wsi_nucssl.export.annotated import CENTROIDS_PX, HEADER, ROWS
from wsi_nucssl.export.columns import COLUMNS, TRUNCATED, TYPE, TYPE_PROBABILITY
from wsi_nucssl.export.rows import Rows
from wsi_nucssl.export.transform import COORDINATE_DECIMALS

_APART_PX: Final = 0.03
"""Level-0 px between a nucleus's centroid and that of its outline, which was rounded to 0.01 px; at the slide's edge,
where outlines end and px that the network answers at may not, one such px more."""


def read(path: Path) -> Iterator[Any]:
    """The header, then rows."""
    with open_hdf5(path) as file:
        matrix = StoredMatrix(file)
        yield matrix.header
        polygons = file[POLYGONS]
        if len(polygons) != len(matrix) + 1:
            raise ValueError(
                f"it holds outlines of {len(polygons) - 1} nuclei beside {len(matrix)} rows, since rows were chosen"
            )
        for first in range(0, len(matrix), ROWS):
            last = min(first + ROWS, len(matrix))
            rows = matrix.rows(first, last, *_outlines(file, first, last))
            _check_order(rows, np.asarray(file[CENTROIDS_PX][first:last]), _px(matrix.header) + _APART_PX)
            yield rows


def _outlines(
    file: Any, first: int, last: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    polygons = np.asarray(file[POLYGONS][first : last + 1], np.int64)
    rings = np.asarray(file[RINGS][polygons[0] : polygons[-1] + 1], np.int64)
    xy = np.asarray(file[XY][rings[0] : rings[-1]]) / 10**COORDINATE_DECIMALS
    return xy, rings - rings[0], polygons - polygons[0]


def _px(header: Mapping[str, Any]) -> float:
    """Level-0 px per px that the network answers at."""
    scale = header.get("scale_l0") or [header["model_mpp"] / side for side in header["slide_mpp"]]
    return max(map(float, scale))


def _check_order(rows: Rows, centroids: NDArray[np.float64], apart_px: float) -> None:
    """Rows that somebody sorted do not lie where their outlines do."""
    apart = np.abs(rows.table(()).centroids_xy() / 10**COORDINATE_DECIMALS - centroids)
    if not (apart < apart_px).all():
        raise ValueError("its rows do not lie where its outlines do, since they were sorted or moved")


class StoredMatrix:
    """A matrix with annotations that `annotated` laid out, which others may have written again.

    Parameters
    ----------
    tree : h5py.File or zarr.Group
        Of an AnnData.

    Attributes
    ----------
    header : dict
        Ours.
    """

    def __init__(self, tree: Any) -> None:
        self._tree = tree
        self.header: dict[str, Any] = orjson.loads(_text(tree[HEADER][()]))
        names = _texts(tree["var"][tree["var"].attrs["_index"]][:])
        self._columns = [names.index(column.name) for column in COLUMNS]
        self._ids = tree["obs"][tree["obs"].attrs["_index"]]
        self._typed = bool(self.header.get("types"))

    def __len__(self) -> int:
        return int(self._ids.shape[0])

    def ids(self, first: int, last: int) -> list[str]:
        """The ids of some rows."""
        return _texts(self._ids[first:last])

    def rows(
        self,
        first: int,
        last: int,
        xy: NDArray[np.float64],
        rings: NDArray[np.int64],
        polygons: NDArray[np.int64],
    ) -> Rows:
        """Some rows with their outlines."""
        obs, count = self._tree["obs"], last - first
        return Rows(
            self.ids(first, last),
            xy,
            rings,
            polygons,
            np.asarray(self._tree["X"][first:last], np.float64)[:, self._columns],
            np.asarray(obs[TRUNCATED.name][first:last], np.bool_),
            self._types(first, last) if self._typed else [""] * count,
            np.asarray(obs[TYPE_PROBABILITY.name][first:last]) if self._typed else np.zeros(count),
        )

    def _types(self, first: int, last: int) -> list[str]:
        column = self._tree["obs"][TYPE]
        if hasattr(column, "shape"):
            return _texts(column[first:last])
        names = [*_texts(column["categories"][:]), ""]  # −1 is the last one
        return [names[code] for code in np.asarray(column["codes"][first:last]).tolist()]


def _texts(values: Any) -> list[str]:
    return [_text(each) for each in np.asarray(values).tolist()]


def _text(value: Any) -> str:
    value = value.item() if isinstance(value, np.ndarray) else value
    return value.decode() if isinstance(value, bytes) else str(value)
