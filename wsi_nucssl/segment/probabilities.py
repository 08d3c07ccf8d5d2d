"""The probabilities of a slide on disk: a zarr of windows, one chunk each with its checksum, blended when read.

A window that was predicted is there whole and sound, or not at all; one that was not selected is background. A window
that should be there and is not never reads as background.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.array_spec import ArrayConfigParams

from wsi_nucssl.checksums import ChecksumLog, Checksums
from wsi_nucssl.errors import OutputError
from wsi_nucssl.files import disk_errors, remove_tree
from wsi_nucssl.geometry import Box
from wsi_nucssl.grid import Tile
from wsi_nucssl.nuclei.compiled import compiled
from wsi_nucssl.nuclei.settings import Probabilities
from wsi_nucssl.schema import UNTYPED, OutputSchema
from wsi_nucssl.segment.blending import blended
from wsi_nucssl.segment.windows import WindowGrid
from wsi_nucssl.slide.lru import TileCache

_LOG: Final = "checksums.bin"
RECENT: Final = 32
"""Windows that are remembered: two blocks side by side need 24, and the others were written just now."""
_COMPRESSORS: Final = (ZstdCodec(level=1), Crc32cCodec())
_CONFIG: Final[ArrayConfigParams] = {"write_empty_chunks": True}


class NotPredicted(Exception):
    """Windows that the box needs are not there yet.

    Parameters
    ----------
    absent : tuple of Tile
        Those windows.
    """

    def __init__(self, absent: tuple[Tile, ...]) -> None:
        super().__init__(*[(tile.row, tile.col) for tile in absent])
        self.absent = absent


class WindowLost(OutputError):
    """A window that was predicted is gone from the disk, or another one's bytes are at its place."""


class ProbabilityStore:
    """uint8 (planes, row, col) over the whole extent: those that `schema.stored` names.

    On disk the array is (window row, window col, plane, row, col), each window with the margin that is blended: what
    `blending.keep_window` keeps, as differences from row to row modulo 256, which take a fifth less space. Each chunk
    ends with its checksum, and a log beside them says which checksum belongs where.

    Parameters
    ----------
    path : Path
        The zarr, made if it is not there.
    grid : WindowGrid
        All windows of the extent.
    selected : Tile
        The windows that are predicted, or those of them that the reader needs; all others are background.
    schema : OutputSchema
        What the model answers.
    reserve : Tile
        Windows that are predicted if somebody needs them: until then nobody may read there.
    recent : int
        Windows that are remembered at most; others are read again.
    """

    def __init__(
        self,
        path: Path,
        grid: WindowGrid,
        selected: Iterable[Tile],
        schema: OutputSchema = UNTYPED,
        *,
        reserve: Iterable[Tile] = (),
        recent: int = RECENT,
    ) -> None:
        self.path, self.grid, self.selected, self.schema = path, grid, tuple(selected), schema
        self.reserve = tuple(reserve)
        self._places = {(tile.row, tile.col) for tile in (*self.selected, *self.reserve)}
        self._done: Checksums = {}
        self._recent = TileCache(recent * kept_bytes(grid, schema))
        self._log = ChecksumLog(path / _LOG)
        with disk_errors(path):
            self._array = _open(path) if (path / "zarr.json").exists() else _create(path, grid, schema)

    @classmethod
    def resume(
        cls,
        path: Path,
        grid: WindowGrid,
        selected: Iterable[Tile],
        schema: OutputSchema = UNTYPED,
        *,
        reserve: Iterable[Tile] = (),
        recent: int = RECENT,
    ) -> Self:
        """Open a store and remove what is damaged or of another place: single windows, or all, by the metadata."""
        selected, reserve = tuple(selected), tuple(reserve)
        try:
            store = cls(path, grid, selected, schema, reserve=reserve, recent=recent)
        except ValueError:  # JSON's complaint, and zarr's
            remove_tree(path)
            store = cls(path, grid, selected, schema, reserve=reserve, recent=recent)
        known = store._log.read()
        for tile in (*selected, *reserve):
            chunk = store._chunk(tile)
            if not chunk.exists():
                continue
            crc = known.get((tile.row, tile.col))
            if crc is not None and store._is_sound(tile, crc):
                store._done[tile.row, tile.col] = crc
            else:
                chunk.unlink()
        return store

    def __reduce__(self) -> tuple[object, ...]:
        """A store pickles as its place, its windows, and those that are there; what it remembers stays behind."""
        return _reopen, (self.path, self.grid, self.selected, self.schema, self.reserve, self._done)

    def _is_sound(self, tile: Tile, checksum: int) -> bool:
        """True if the chunk ends with the checksum of its place, which is that of its bytes."""
        if self._checksum(tile) != checksum:
            return False
        try:
            self._array[tile.row, tile.col]
        except (ValueError, RuntimeError):  # the checksum's complaint, and the decompressor's
            return False
        return True

    def _chunk(self, tile: Tile) -> Path:
        return self.path / "c" / str(tile.row) / str(tile.col) / "0" / "0" / "0"

    def _checksum(self, tile: Tile) -> int:
        """What the chunk ends with."""
        with self._chunk(tile).open("rb") as file:
            file.seek(-min(4, file.seek(0, os.SEEK_END)), os.SEEK_END)
            return int.from_bytes(file.read(), "little")

    def missing(self) -> Sequence[Tile]:
        """The selected windows that are not predicted yet, in raster order."""
        return [tile for tile in self.selected if (tile.row, tile.col) not in self._done]

    def write(self, tile: Tile, planes: NDArray[np.uint8]) -> None:
        """Store what is kept of a window, (planes, row, col); its chunk is written by nobody else.

        Raises
        ------
        ResourceError
            The disk is full.
        """
        self.note(tile, self.put(tile, planes))

    def put(self, tile: Tile, planes: NDArray[np.uint8]) -> int:
        """Write a window's chunk and return its checksum; it counts as there when somebody has noted that."""
        with disk_errors(self.path):
            differences = planes.copy()
            differences[:, 1:] -= planes[:, :-1]
            self._array[tile.row, tile.col] = differences
            crc = self._checksum(tile)
        self._recent.put((tile.row, tile.col), planes)
        return crc

    def note(self, tile: Tile, crc: int) -> None:
        """A window was put, here or elsewhere, and its chunk has this checksum."""
        with disk_errors(self.path):
            self._log.add(tile.row, tile.col, crc)
        self._done[tile.row, tile.col] = crc

    def near(self, box: Box) -> tuple[Tile, ...]:
        """The windows, selected or in reserve, that may have a say in `box`."""
        tiles = self.grid.overlapping(box.grow(self.grid.blend))
        return tuple(tile for tile in tiles if (tile.row, tile.col) in self._places)

    def noted(self, box: Box) -> Checksums:
        """The checksums of the windows that may have a say in `box` and are there."""
        places = ((tile.row, tile.col) for tile in self.near(box))
        return {place: self._done[place] for place in places if place in self._done}

    def learn(self, tiles: Iterable[Tile], done: Checksums) -> None:
        """What a store elsewhere knows: windows that are selected, and of those that are there the checksums."""
        self._places.update((tile.row, tile.col) for tile in tiles)
        self._done.update(done)

    def unlearn_lost(self, places: Iterable[tuple[int, int]]) -> Sequence[tuple[int, int]]:
        """Those of some windows that are not there, or of other bytes than was said; they are predicted no longer."""
        lost = [place for place in places if not self._is_at_its_place(self.grid.at(*place))]
        for place in lost:
            self._done.pop(place, None)
        return lost

    def forget(self, places: Iterable[tuple[int, int]]) -> Sequence[Tile]:
        """Take windows for missing, since their chunks are lost; returns them."""
        lost = [self.grid.at(*place) for place in places if self._done.pop(place, None) is not None]
        for tile in lost:
            self._chunk(tile).unlink(missing_ok=True)
        return lost

    def has(self, box: Box) -> bool:
        """True if every selected window that may have a say in `box` is there."""
        return not self.absent(box)

    def absent(self, box: Box) -> tuple[Tile, ...]:
        """The windows that may have a say in `box` and are not there."""
        return tuple(tile for tile in self.near(box) if (tile.row, tile.col) not in self._done)

    def predicted(self) -> ProbabilityStore:
        """The same windows, of which those that are there alone count; all others are background."""
        there = tuple(tile for tile in (*self.selected, *self.reserve) if (tile.row, tile.col) in self._done)
        return _reopen(self.path, self.grid, there, self.schema, (), self._done)

    def read(self, box: Box) -> Probabilities:
        """The planes of `box`, inside the extent; background where no window was selected.

        Raises
        ------
        NotPredicted
            A window it needs is not there yet.
        """
        return blended(self.grid, box, lambda tile: self._window(tile, box), len(self.schema.stored))

    def _window(self, tile: Tile, box: Box) -> Probabilities | None:
        """A stored window, None where none was selected: blocks share windows, mostly soon after they were written."""
        place = tile.row, tile.col
        if place not in self._places:
            return None
        if place not in self._done:
            raise NotPredicted(self.absent(box))
        planes = self._recent.get(place)
        if planes is None:
            if not self._is_at_its_place(tile):  # zarr would read what is absent as background
                raise WindowLost(
                    "probabilities that were kept are gone",
                    path=self._chunk(tile),
                    remedy="Run the same command again with ⟨resume⟩",
                )
            planes = np.asarray(self._array[place])
            _add_up_rows(planes)
            self._recent.put(place, planes)
        return planes

    def _is_at_its_place(self, tile: Tile) -> bool:
        try:
            return self._checksum(tile) == self._done.get((tile.row, tile.col))
        except FileNotFoundError:
            return False


def _reopen(
    path: Path,
    grid: WindowGrid,
    selected: tuple[Tile, ...],
    schema: OutputSchema,
    reserve: tuple[Tile, ...],
    done: Checksums,
) -> ProbabilityStore:
    store = ProbabilityStore(path, grid, selected, schema, reserve=reserve)
    store._done.update(done)
    return store


def kept_bytes(grid: WindowGrid, schema: OutputSchema) -> int:
    """Memory that a remembered window takes."""
    return len(schema.stored) * grid.kept_size.area


@compiled
def _add_up_rows(planes: NDArray[np.uint8]) -> None:
    """Differences from row to row, uint8 (planes, row, col), to what they are of, in place."""
    for plane in range(planes.shape[0]):
        for row in range(1, planes.shape[1]):
            for col in range(planes.shape[2]):
                planes[plane, row, col] += planes[plane, row - 1, col]


def write_canvas(store: ProbabilityStore, path: Path) -> None:
    """Write all planes as one zarr, uint8 (planes, row, col) over the extent, replacing what is at `path`.

    Windows that stayed in reserve are background, and have no say in what their neighbours blend.

    Raises
    ------
    ResourceError
        The disk is full.
    """
    planes, store = store.schema.stored, store.predicted()
    with disk_errors(path):
        remove_tree(path)
        array = zarr.create_array(
            store=str(path),
            shape=(len(planes), *store.grid.extent.shape_rc),
            chunks=(len(planes), *store.grid.tile.shape_rc),
            dtype="uint8",
            compressors=_COMPRESSORS,
            fill_value=0,
            dimension_names=("c", "y", "x"),
            attributes={"planes": list(planes)},
            config=_CONFIG,
        )
        for tile in store.selected:
            array[:, *tile.core.rc] = store.read(tile.core)


def _open(path: Path) -> zarr.Array[Any]:
    opened = zarr.open_array(store=str(path), mode="r+")  # takes no notice of `config`
    return zarr.Array(zarr.AsyncArray(opened.metadata, opened.store_path, config=_CONFIG))


def _create(path: Path, grid: WindowGrid, schema: OutputSchema) -> zarr.Array[Any]:
    planes = schema.stored
    one = (len(planes), *grid.kept_size.shape_rc)
    return zarr.create_array(
        store=str(path),
        shape=(grid.rows, grid.cols, *one),
        chunks=(1, 1, *one),
        dtype="uint8",
        compressors=_COMPRESSORS,
        fill_value=0,
        dimension_names=("window_row", "window_col", "c", "y", "x"),
        attributes={"planes": list(planes), "blend_px": grid.blend},
        config=_CONFIG,
    )
