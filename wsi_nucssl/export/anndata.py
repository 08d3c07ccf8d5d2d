"""AnnData's `.h5ad`: measurements as a matrix, centroids beside it, for scanpy and squidpy; and the outlines.

The layout is that of `annotated`, in HDF5. Outlines, which AnnData has no place for, are ragged arrays that it carries
along: `uns["outlines"]` holds the vertices as int32 in 0.01 level-0 px, where each ring begins in them, and where
each nucleus begins among the rings. HDF5 alone is needed to write it, cut by cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.annotated import ARRAY, DICT, ID_BYTES, ROWS, AnnotatedMatrix
from wsi_nucssl.export.base import ExportContext, Exporter, WriteNuclei
from wsi_nucssl.export.cuts import Cuts
from wsi_nucssl.nuclei.table import Nuclei

try:
    import h5py
except ImportError as error:
    raise UsageError(
        "AnnData needs the package anndata, which is not installed",
        remedy="Install it: pip install 'wsi-nucssl[anndata]'",
    ) from error

OUTLINES: Final = "uns/outlines"
XY, RINGS, POLYGONS = (f"{OUTLINES}/{name}" for name in ("xy", "ring_offsets", "polygon_offsets"))
_VERTICES_A_CHUNK: Final = 65536
_CACHE_BYTES: Final = 1 << 23
_COMPRESSION: Final[Mapping[str, Any]] = {
    "compression": "gzip",
    "compression_opts": 1,
    "shuffle": True,
    "fletcher32": True,
}


@contextmanager
def _open(path: Path, context: ExportContext) -> Iterator[WriteNuclei]:
    with h5py.File(path, "w") as file:
        tree = _Hdf5(file)
        matrix, outlines = AnnotatedMatrix(tree, context), _Outlines(tree, context)

        def write(cut: Nuclei) -> None:
            matrix.append(cut)
            outlines.append(cut)

        cuts = Cuts(ROWS, write)
        yield cuts.add
        cuts.end()


def open_hdf5(path: Path) -> Any:
    """A file to read, an `h5py.File`; a chunk of each array is unpacked once."""
    return h5py.File(path, "r", rdcc_nbytes=_CACHE_BYTES)


@dataclass(frozen=True, slots=True)
class _Hdf5:
    """A `Tree` in an HDF5 file."""

    file: Any

    def group(self, path: str, attributes: Mapping[str, object]) -> None:
        group = self.file.create_group(path) if path else self.file
        group.attrs.update(attributes)

    def grow(self, path: str, dtype: str, width: int, attributes: Mapping[str, object]) -> _Dataset:
        kind = h5py.string_dtype("utf-8", ID_BYTES) if dtype == "id" else np.dtype(dtype)
        more = (width,) if width else ()
        rows = _VERTICES_A_CHUNK if path in (XY, RINGS, POLYGONS) else ROWS
        dataset = self.file.create_dataset(
            path,
            shape=(0, *more),
            maxshape=(None, *more),
            chunks=(rows, *more),
            dtype=kind,
            **_COMPRESSION,
        )
        dataset.attrs.update(attributes)
        return _Dataset(dataset, kind)

    def put(self, path: str, value: str | Sequence[str], attributes: Mapping[str, object]) -> None:
        content = value if isinstance(value, str) else [*value]
        self.file.create_dataset(path, data=content, dtype=h5py.string_dtype()).attrs.update(attributes)


@dataclass(frozen=True, slots=True)
class _Dataset:
    """A `Growing` array of a file."""

    dataset: Any
    kind: np.dtype[Any]

    def append(self, values: NDArray[Any]) -> None:
        first = len(self.dataset)
        self.dataset.resize(first + len(values), axis=0)
        self.dataset[first:] = values.astype(self.kind)


class _Outlines:
    """The outlines of all nuclei, end to end."""

    def __init__(self, tree: _Hdf5, context: ExportContext) -> None:
        self._context = context
        tree.group(OUTLINES, DICT)
        self._xy = tree.grow(XY, "int32", 2, ARRAY)
        self._rings, self._polygons = (tree.grow(name, "int64", 0, ARRAY) for name in (RINGS, POLYGONS))
        self._ends = np.zeros(2, np.int64)
        for offsets in (self._rings, self._polygons):
            offsets.append(np.zeros(1, np.int64))

    def append(self, nuclei: Nuclei) -> None:
        """Those of the next nuclei."""
        self._xy.append(self._context.transform.centi_px(nuclei.ring_xy).astype(np.int32))
        self._rings.append(nuclei.ring_offsets[1:] + self._ends[0])
        self._polygons.append(nuclei.polygon_offsets[1:] + self._ends[1])
        self._ends += (nuclei.ring_offsets[-1], nuclei.polygon_offsets[-1])


ANNDATA: Final = Exporter(_open)
