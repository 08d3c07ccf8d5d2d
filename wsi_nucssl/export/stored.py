"""Files of this package back into tables, a few thousand nuclei at a time: for other formats, and for `read_nuclei`.

What a file says is kept to the digit: its vertices, ids and measurements are those of whatever is made of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from shapely.errors import ShapelyError

from wsi_nucssl.errors import InputError, WsiNucsslError
from wsi_nucssl.export.base import ExportContext
from wsi_nucssl.export.columns import DECIMALS
from wsi_nucssl.export.rows import Rows
from wsi_nucssl.export.transform import COORDINATE_DECIMALS, CanvasTransform
from wsi_nucssl.geometry import Mpp, Point
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.schema import types_of

_READERS: Final[Mapping[str, str]] = {
    ".geojson": "geojson",
    ".geojson.gz": "geojson",
    ".parquet": "parquet",
    ".h5ad": "anndata",
    ".spatialdata.zarr": "spatialdata",
    ".ann.dcm": "dicom",
}
"""The module `stored_NAME` whose `read` gives a file's header, then its `Rows`; it is imported when it is needed."""
ENDINGS: Final = tuple(_READERS)
"""Of the formats that hold all there is to know of a nucleus."""
_OFF_GRID_PX: Final = 0.02
"""Level-0 px that a vertex may lie off its px corner: it was rounded to 0.01 px."""
_ON_GRID: Final = 0.98
"""Part of the vertices that lie on px corners, at least; those at the slide's rim may not."""
_DAMAGE: Final = (
    OSError,
    EOFError,
    zlib.error,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    RuntimeError,
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
    """A file of this package that holds outlines, of one of `ENDINGS`: what its nuclei stand for, and tables of them.

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
            f"nuclei with outlines are read from {', '.join(ENDINGS)} files{_lacking(path)}",
            path=path,
            remedy="Give a file of one of these formats",
        )
    if not path.exists():
        raise InputError("there is no such file", path=path, remedy="Check the path")
    format_ = next(name for ending, name in _READERS.items() if path.name.endswith(ending))
    pieces = _guarded(path, import_module(f"{__package__}.stored_{format_}").read(path))
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
    return context, _guarded(path, (rows.table(types) for rows in cast("Iterator[Rows]", pieces)))


_LACKS: Final = {".csv": "outlines", ".zarr": "measurements"}


def _lacking(path: Path) -> str:
    """What one of our own files lacks."""
    what = _LACKS.get(path.suffix)
    return f"; a {path.suffix} file of ours holds no {what}" if what else ""


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
