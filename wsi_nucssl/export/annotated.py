"""Nuclei as AnnData lays out a matrix with annotations, cut by cut: for `.h5ad` files and SpatialData's tables.

    X                       measurements, float64 (n, 9); `var` names them, with units
    obs/                    `id`, the index, `truncated`; `type`, `type_probability` of models that tell types apart
    obsm/spatial            centroids in level-0 px, float64 (n, 2); obsm/spatial_um in µm
    uns/wsi_nucssl          the header, as JSON

https://anndata.readthedocs.io/en/stable/fileformat-prose.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.export.base import ExportContext
from wsi_nucssl.export.columns import COLUMNS, DECIMALS, TRUNCATED, TYPE, TYPE_PROBABILITY
from wsi_nucssl.export.ids import id_letters
from wsi_nucssl.export.transform import COORDINATE_DECIMALS
from wsi_nucssl.nuclei.table import Nuclei

ROWS: Final = 16384
"""Nuclei in a chunk of an array."""
ID_BYTES: Final = 36
CENTROIDS_PX: Final = "obsm/spatial"
CENTROIDS_UM: Final = "obsm/spatial_um"
HEADER: Final = "uns/wsi_nucssl"
UNIT_OF_CENTROIDS: Final = "uns/spatial_unit"


class Growing(Protocol):
    """An array that gets longer."""

    def append(self, values: NDArray[Any]) -> None:
        """Put rows behind those that are there."""
        ...


class Tree(Protocol):
    """Groups and arrays by path, in HDF5 or in zarr."""

    def group(self, path: str, attributes: Mapping[str, object]) -> None:
        """Make a group, or set the attributes of the first one, whose path is ""."""
        ...

    def grow(self, path: str, dtype: str, width: int, attributes: Mapping[str, object]) -> Growing:
        """Begin an array (0, width), or (0,) where `width` is 0; of "id"s, bytes (n,) of `ID_BYTES` are appended."""
        ...

    def put(self, path: str, value: str | Sequence[str], attributes: Mapping[str, object]) -> None:
        """Write a text, or an array of texts."""
        ...


def encoded(kind: str, version: str) -> dict[str, object]:
    """The attributes by which AnnData knows what something is."""
    return {"encoding-type": kind, "encoding-version": version}


ARRAY: Final = encoded("array", "0.2.0")
_TEXT: Final = encoded("string", "0.2.0")
_TEXTS: Final = encoded("string-array", "0.2.0")
DICT: Final = encoded("dict", "0.1.0")
_FRAME: Final = encoded("dataframe", "0.2.0")
_CATEGORICAL: Final = encoded("categorical", "0.2.0") | {"ordered": False}


class AnnotatedMatrix:
    """Nuclei in a tree, as AnnData reads them.

    Parameters
    ----------
    tree : Tree
        Where nothing is yet.
    context : ExportContext
        What the nuclei stand for.
    region : str
        The element that the rows annotate, in the table of SpatialData; "" in a file of its own.
    """

    def __init__(self, tree: Tree, context: ExportContext, region: str = "") -> None:
        self._tree, self._context, self._region = tree, context, region
        tree.group("", encoded("anndata", "0.1.0"))
        for name in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            tree.group(name, DICT)
        self._x = tree.grow("X", "float64", len(COLUMNS), ARRAY)
        self._frame("var", [], index="name", more=["unit"])
        tree.put("var/name", [column.name for column in COLUMNS], _TEXTS)
        tree.put("var/unit", [column.unit for column in COLUMNS], _TEXTS)
        typed = [TYPE, TYPE_PROBABILITY.name] if context.types else []
        keys = [REGION, INSTANCE] if region else []
        self._frame("obs", keys, index="id", more=[TRUNCATED.name, *typed])
        self._ids = tree.grow("obs/id", "id", 0, _TEXTS)
        self._truncated = tree.grow(f"obs/{TRUNCATED.name}", "bool", 0, ARRAY)
        self._px, self._um = (tree.grow(name, "float64", 2, ARRAY) for name in (CENTROIDS_PX, CENTROIDS_UM))
        tree.put(HEADER, orjson.dumps(dict(context.header)).decode(), _TEXT)
        tree.put(UNIT_OF_CENTROIDS, "px", _TEXT)
        if typed:
            self._type = self._categorical(TYPE, [each.name for each in context.types])
            self._probability = tree.grow(f"obs/{TYPE_PROBABILITY.name}", "float64", 0, ARRAY)
        if region:
            self._regions = self._categorical(REGION, [region])
            self._instances = tree.grow(f"obs/{INSTANCE}", "id", 0, _TEXTS)

    def append(self, nuclei: Nuclei) -> None:
        """The next rows."""
        context = self._context
        ids = id_letters(context.ids(nuclei)).view(f"S{ID_BYTES}").ravel()
        self._x.append(context.measured(nuclei) / 10**DECIMALS)
        self._ids.append(ids)
        self._truncated.append(nuclei.truncated)
        self._px.append(context.centroids_px(nuclei).round(COORDINATE_DECIMALS))
        self._um.append(context.centroids_um(nuclei).round(DECIMALS))
        if context.types:
            self._type.append(nuclei.type_id)
            self._probability.append(context.type_probability(nuclei) / 10**DECIMALS)
        if self._region:
            self._regions.append(np.zeros(len(nuclei), np.int16))
            self._instances.append(ids)

    def _frame(self, name: str, keys: list[str], *, index: str, more: list[str]) -> None:
        self._tree.group(name, {**_FRAME, "_index": index, "column-order": [*keys, *more]})

    def _categorical(self, name: str, categories: list[str]) -> Growing:
        self._tree.group(f"obs/{name}", _CATEGORICAL)
        self._tree.put(f"obs/{name}/categories", categories, _TEXTS)
        return self._tree.grow(f"obs/{name}/codes", "int16", 0, ARRAY)


REGION: Final = "region"
INSTANCE: Final = "nucleus"
"""Columns of SpatialData's tables: which element a row annotates, and which row of it, by id."""
