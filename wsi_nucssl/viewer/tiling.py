"""Nuclei as files that a page reads piece by piece: all places at once, outlines tile by tile, values when wanted.

    index.json       how many, which measurements, where each tile begins
    places.bin       float32 (n, 2): centroids, level-0 px
    column_K.bin     float32 (n,): one measurement
    tiles/R_C.bin    outlines and all values of the nuclei whose centroid lies in that tile

Nuclei are numbered tile by tile, in a tile by their ids, so that a tile holds a run of them. A tile's file is
little-endian: uint32 n, r, m, columns and float32 px per step; float32 (n, columns) values; uint32 (n,) rings;
int32 (r,) vertices, negative for holes; int16 (m, 2) vertices in steps from the tile's corner; uint8 (n, 16) ids. The
way there is one pass: what is read waits on disk, tile by tile, so that memory holds one tile however many nuclei
there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.errors import InputError
from wsi_nucssl.export.columns import COLUMNS
from wsi_nucssl.files import remove_tree
from wsi_nucssl.geometry import Mpp, Size
from wsi_nucssl.viewer.batch import Batch, Color

TILE_PX: Final = 2048
"""Side of a tile in level-0 px."""
INDEX: Final = "index.json"
PLACES: Final = "places.bin"
_FINEST_STEP: Final = 0.25
_FARTHEST_STEPS: Final = 32767
_MOST_CLASSES: Final = 64
_CLASS: Final = "Class"
_OURS: Final = {column.qupath: column for column in COLUMNS}


def column_file(number: int) -> str:
    """The name of a measurement's file."""
    return f"column_{number}.bin"


def tile_file(row: int, col: int) -> str:
    """The name of a tile's file."""
    return f"tiles/{row}_{col}.bin"


def write_tiles(
    folder: Path, batches: Iterable[Batch], size: Size, mpp: Mpp | None, about: Mapping[str, Any]
) -> int:
    """Write nuclei as tiles; the same nuclei give the same bytes. Returns how many there were.

    Parameters
    ----------
    folder : Path
        Where nothing is yet.
    batches : iterable of Batch
        The nuclei, taken one batch at a time.
    size : Size
        Of the slide in level-0 px; what lies beyond it belongs to the tiles at its rim.
    mpp : Mpp or None
        µm per level-0 px, for areas where the file has none.
    about : mapping of str to object
        What else the index says: JSON values by name.

    Raises
    ------
    InputError
        The nuclei have more classes than a legend can show.
    """
    spill = _Spill(folder / "waiting", size, mpp)
    (folder / "tiles").mkdir(parents=True)
    spill.folder.mkdir()
    for batch in batches:
        spill.add(batch)
    index = _write(folder, spill)
    remove_tree(spill.folder)
    (folder / INDEX).write_bytes(orjson.dumps({**about, **index}, option=orjson.OPT_INDENT_2))
    return int(index["count"])


@dataclass
class _Spill:
    """What has been read, on disk by tile."""

    folder: Path
    size: Size
    mpp: Mpp | None
    columns: dict[str, int] = field(default_factory=dict)
    classes: dict[str, tuple[int, Color]] = field(default_factory=dict)
    tiles: dict[tuple[int, int], int] = field(default_factory=dict)
    """Nuclei of each tile, by (row, col)."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.size.height // TILE_PX), -(-self.size.width // TILE_PX)

    def add(self, batch: Batch) -> None:
        places, area = batch.places()
        values = self._values(batch, area)
        last = np.array(self.shape) - 1
        tiles = np.clip((places[:, ::-1] // TILE_PX).astype(np.int64), 0, last)
        keys = tiles[:, 0] * self.shape[1] + tiles[:, 1]
        starts = np.cumsum(batch.rings) - batch.rings
        ends = np.append(0, np.cumsum(np.abs(batch.vertices)))
        for key in np.unique(keys).tolist():
            rows = np.flatnonzero(keys == key)
            rings = _runs(starts[rows], batch.rings[rows])
            vertices = _runs(ends[rings], np.abs(batch.vertices[rings]))
            place = divmod(key, self.shape[1])
            self.tiles[place] = self.tiles.get(place, 0) + len(rows)
            with self._file(place).open("ab") as file:
                for part in (
                    batch.ids[rows],
                    places[rows],
                    values[rows],
                    batch.rings[rows],
                    batch.vertices[rings],
                    batch.xy[vertices],
                ):
                    np.save(file, part)

    def _values(self, batch: Batch, area: NDArray[np.float64]) -> NDArray[np.float32]:
        """Measurements (n, columns known so far), the class's number among them."""
        codes = [self._code(name, color) for name, color in batch.classes]
        found: dict[str, NDArray[Any]] = {_CLASS: np.array(codes), **batch.values}
        if not any(name.lower().startswith(("area", "nucleus: area")) for name in found):
            unit = self.mpp.x * self.mpp.y if self.mpp else 1.0
            found["Area µm^2" if self.mpp else "Area px^2"] = area * unit
        for name in found:
            self.columns.setdefault(name, len(self.columns))
        values = np.full((len(batch), len(self.columns)), np.nan, np.float32)
        for name, column in found.items():
            values[:, self.columns[name]] = column
        return values

    def _code(self, name: str, color: Color) -> int:
        if name not in self.classes and len(self.classes) == _MOST_CLASSES:
            raise InputError(
                f"its nuclei have more than {_MOST_CLASSES} classes",
                remedy="Merge classes in the program that wrote it",
            )
        return self.classes.setdefault(name, (len(self.classes), color))[0]

    def _file(self, place: tuple[int, int]) -> Path:
        return self.folder / f"{place[0]}_{place[1]}.npy"

    def read(self, place: tuple[int, int]) -> list[NDArray[Any]]:
        """Ids, places, values, rings, vertices and xy of one tile."""
        parts: list[list[NDArray[Any]]] = []
        with self._file(place).open("rb") as file:
            end = file.seek(0, 2)
            file.seek(0)
            while file.tell() < end:
                parts.append([np.load(file, allow_pickle=False) for _ in range(6)])
        for part in parts:
            missing = len(self.columns) - part[2].shape[1]
            part[2] = np.pad(part[2], ((0, 0), (0, missing)), constant_values=np.nan)
        return _by_id([np.concatenate([part[index] for part in parts]) for index in range(6)])


def _by_id(parts: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """A tile's nuclei in the order of their ids, which is none: every k-th of them are then a fair sample."""
    ids, centroids, values, rings, vertices, xy = parts
    order = np.argsort(np.ascontiguousarray(ids).view(">u8")[:, 0], kind="stable")
    lengths = np.abs(vertices)
    of_rings = _runs((np.cumsum(rings) - rings)[order], rings[order])
    of_vertices = _runs((np.cumsum(lengths) - lengths)[of_rings], lengths[of_rings])
    return [
        ids[order],
        centroids[order],
        values[order],
        rings[order],
        vertices[of_rings],
        xy[of_vertices],
    ]


def _runs(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of several runs, end to end."""
    offsets = np.cumsum(lengths) - lengths
    numbers: NDArray[np.int64] = np.arange(int(lengths.sum())) + (starts - offsets).repeat(lengths)
    return numbers


def _write(folder: Path, spill: _Spill) -> dict[str, Any]:
    """All files but the index, and what that says."""
    tiles, count = [], 0
    names = [*spill.columns]
    with (folder / PLACES).open("wb") as places:
        files = [(folder / column_file(number)).open("wb") for number in range(len(names))]
        try:
            for row, col in sorted(spill.tiles):
                step = _write_tile(
                    folder / tile_file(row, col), spill.read((row, col)), (row, col), places, files
                )
                tiles.append([row, col, count, spill.tiles[row, col], step])
                count += spill.tiles[row, col]
        finally:
            for file in files:
                file.close()
    columns = [_column(folder / column_file(number), name, spill) for number, name in enumerate(names)]
    rows, cols = spill.shape
    return {
        "count": count,
        "tile_px": TILE_PX,
        "rows": rows,
        "cols": cols,
        "tiles": tiles,
        "columns": columns,
    }


def _write_tile(
    path: Path, parts: list[NDArray[Any]], place: tuple[int, int], places: BinaryIO, files: Sequence[BinaryIO]
) -> float:
    """Write one tile and its part of the other files; returns px per step."""
    ids, centroids, values, rings, vertices, xy = parts
    moved = xy - np.array([place[1], place[0]]) * TILE_PX
    step = max(_FINEST_STEP, float(np.abs(moved).max()) / _FARTHEST_STEPS)
    places.write(centroids.astype("<f4").tobytes())
    for file, column in zip(files, values.T, strict=True):
        file.write(np.ascontiguousarray(column, "<f4").tobytes())
    counts = np.array([len(ids), len(vertices), len(xy), values.shape[1]], "<u4")
    path.write_bytes(
        b"".join(
            part.tobytes()
            for part in (
                counts,
                np.array([step], "<f4"),
                np.ascontiguousarray(values, "<f4"),
                rings.astype("<u4"),
                vertices.astype("<i4"),
                np.rint(moved / step).astype("<i2"),
                ids,
            )
        )
    )
    return step


def _column(path: Path, name: str, spill: _Spill) -> dict[str, Any]:
    """What the index says of a measurement: its range, and the one that leaves out a hundredth at each end."""
    label, unit = _named(name)
    column: dict[str, Any] = {"name": name, "label": label, "unit": unit}
    if name == _CLASS:
        looks = [{"name": each or "no class", "color": color} for each, (_, color) in spill.classes.items()]
        return {**column, "classes": looks}
    values = np.fromfile(path, "<f4")
    values = values[np.isfinite(values)]
    if not len(values):
        return {**column, "range": [0.0, 0.0], "usual": [0.0, 0.0]}
    usual = np.percentile(values, (1, 99)).tolist()
    return {**column, "range": [float(values.min()), float(values.max())], "usual": usual}


def _named(name: str) -> tuple[str, str]:
    """A measurement's name and unit as a person reads them."""
    if name in _OURS:
        unit = _OURS[name].unit
        return re.sub(r"\s*µm(\^2)?$", "", name), unit
    found = re.fullmatch(r"(.*?):?\s*(µm\^2|px\^2|µm²|µm|px)", name)
    return (found[1], found[2].replace("^2", "²")) if found else (name, "")
