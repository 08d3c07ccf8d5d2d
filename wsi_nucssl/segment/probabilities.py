"""The probabilities of a slide on disk: a zarr of windows, one chunk each with its checksum, blended when read.

A window that was predicted is there whole and sound, or not at all; one that was not selected is background. A window
that should be there and is not never reads as background.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.array_spec import ArrayConfigParams

from wsi_nucssl.files import disk_errors, remove_tree
from wsi_nucssl.geometry import Box
from wsi_nucssl.grid import ORIGIN, Tile
from wsi_nucssl.nuclei.settings import Probabilities
from wsi_nucssl.segment.blending import blended
from wsi_nucssl.segment.plan import Plan
from wsi_nucssl.slide.lru import TileCache

PLANES: Final = ("body", "boundary", "hematoxylin_od")
_RECENT_BYTES: Final = 512 * 2**20
"""Enough for three rows of windows of a slide that is 50,000 px wide."""
_COMPRESSORS: Final = (ZstdCodec(level=1), Crc32cCodec())
_CONFIG: Final[ArrayConfigParams] = {"write_empty_chunks": True}


class NotPredicted(Exception):
    """A window that the box needs is not there yet."""


class ProbabilityStore:
    """uint8 (3, row, col) over the whole extent: P(body), P(boundary), hematoxylin OD.

    On disk the array is (window row, window col, plane, row, col), each window with the margin that is blended: what
    `blending.keep_window` keeps, as differences from row to row modulo 256, which take a fifth less space.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path, self._plan = path, plan
        self._selected = {(tile.row, tile.col) for tile in plan.selected}
        self._done: set[tuple[int, int]] = set()
        self._recent = TileCache(_RECENT_BYTES)
        with disk_errors(path):
            self._array = _open(path) if (path / "zarr.json").exists() else _create(path, plan)

    @classmethod
    def resume(cls, path: Path, plan: Plan) -> Self:
        """Open a store and remove what is damaged: single windows, or all of them if it is the metadata."""
        try:
            store = cls(path, plan)
        except ValueError:  # JSON's complaint, and zarr's
            remove_tree(path)
            store = cls(path, plan)
        for tile in plan.selected:
            chunk = path / "c" / str(tile.row) / str(tile.col) / "0" / "0" / "0"
            if not chunk.exists():
                continue
            if store._is_sound(tile):
                store._done.add((tile.row, tile.col))
            else:
                chunk.unlink()
        return store

    def _is_sound(self, tile: Tile) -> bool:
        try:
            self._array[tile.row, tile.col]
        except (ValueError, RuntimeError):  # the checksum's complaint, and the decompressor's
            return False
        return True

    def missing(self) -> Sequence[Tile]:
        """The selected windows that are not predicted yet, in raster order."""
        return [tile for tile in self._plan.selected if (tile.row, tile.col) not in self._done]

    def write(self, tile: Tile, planes: NDArray[np.uint8]) -> None:
        """Store what is kept of a window, (3, row, col); its chunk is written by nobody else.

        Raises
        ------
        ResourceError : the disk is full.
        """
        with disk_errors(self.path):
            self._array[tile.row, tile.col] = np.diff(planes, axis=1, prepend=np.uint8(0))
        self._recent.put((tile.row, tile.col), planes)
        self._done.add((tile.row, tile.col))

    def has(self, box: Box) -> bool:
        """True if every selected window that may have a say in `box` is there."""
        tiles = self._plan.windows.overlapping(box.grow(self._plan.windows.blend))
        return {(tile.row, tile.col) for tile in tiles} & self._selected <= self._done

    def read(self, box: Box) -> Probabilities:
        """The planes of `box`, inside the extent; background where no window was selected.

        Raises
        ------
        NotPredicted : a window it needs is not there yet.
        """
        return blended(self._plan.windows, box, self._window)

    def _window(self, tile: Tile) -> Probabilities | None:
        """A stored window, None where none was selected: blocks share windows, mostly soon after they were written."""
        place = tile.row, tile.col
        if place not in self._selected:
            return None
        if place not in self._done:
            raise NotPredicted(place)
        planes = self._recent.get(place)
        if planes is None:
            planes = np.add.accumulate(np.asarray(self._array[place]), axis=1, dtype=np.uint8)
            self._recent.put(place, planes)
        return planes


def write_canvas(store: ProbabilityStore, plan: Plan, path: Path) -> None:
    """Write all planes as one zarr, uint8 (3, row, col) over the extent, replacing what is at `path`.

    Raises
    ------
    ResourceError : the disk is full.
    """
    with disk_errors(path):
        remove_tree(path)
        array = zarr.create_array(
            store=str(path),
            shape=(len(PLANES), *plan.extent.shape_rc),
            chunks=(len(PLANES), *plan.windows.tile.shape_rc),
            dtype="uint8",
            compressors=_COMPRESSORS,
            fill_value=0,
            dimension_names=("c", "y", "x"),
            attributes={"planes": list(PLANES)},
            config=_CONFIG,
        )
        for tile in plan.selected:
            array[:, *tile.core.rc] = store.read(tile.core)


def _open(path: Path) -> zarr.Array[Any]:
    return zarr.open_array(store=str(path), mode="r+", config=_CONFIG)


def _create(path: Path, plan: Plan) -> zarr.Array[Any]:
    windows = plan.windows
    one = (len(PLANES), *Box.at(ORIGIN, windows.tile).grow(windows.blend).size.shape_rc)
    return zarr.create_array(
        store=str(path),
        shape=(windows.rows, windows.cols, *one),
        chunks=(1, 1, *one),
        dtype="uint8",
        compressors=_COMPRESSORS,
        fill_value=0,
        dimension_names=("window_row", "window_col", "c", "y", "x"),
        attributes={"planes": list(PLANES), "blend_px": windows.blend},
        config=_CONFIG,
    )
