"""The probabilities of a slide on disk: a zarr on the canvas grid, one chunk a window, each with its checksum.

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
from wsi_nucssl.nuclei.instances import Probabilities
from wsi_nucssl.segment.plan import Plan
from wsi_nucssl.slide.lru import TileCache
from wsi_nucssl.tiles.grid import Tile

PLANES: Final = ("body", "boundary", "hematoxylin_od")
_RECENT_BYTES: Final = 512 * 2**20
"""Enough for three rows of windows of a slide that is 50,000 px wide."""
_CONFIG: Final[ArrayConfigParams] = {"write_empty_chunks": True}


class NotPredicted(Exception):
    """A window that the box needs is not there yet."""


class ProbabilityStore:
    """uint8 (3, row, col) over the whole canvas: P(body), P(boundary), hematoxylin OD."""

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
            chunk = path / "c" / "0" / str(tile.row) / str(tile.col)
            if not chunk.exists():
                continue
            if store._is_sound(tile):
                store._done.add((tile.row, tile.col))
            else:
                chunk.unlink()
        return store

    def _is_sound(self, tile: Tile) -> bool:
        try:
            self._array[:, *tile.core.rc]
        except (ValueError, RuntimeError):  # the checksum's complaint, and the decompressor's
            return False
        return True

    def missing(self) -> Sequence[Tile]:
        """The selected windows that are not predicted yet, in raster order."""
        return [tile for tile in self._plan.selected if (tile.row, tile.col) not in self._done]

    def write(self, tile: Tile, planes: NDArray[np.uint8]) -> None:
        """Store the core of a window, (3, row, col); its chunk is written by nobody else.

        Raises
        ------
        ResourceError : the disk is full.
        """
        with disk_errors(self.path):
            self._array[:, *tile.core.rc] = planes
        self._recent.put((tile.row, tile.col), planes)
        self._done.add((tile.row, tile.col))

    def has(self, box: Box) -> bool:
        """True if every selected window that `box` needs is there."""
        return all(place in self._done for place in self._needed(box))

    def read(self, box: Box) -> Probabilities:
        """The planes of `box`, inside the canvas; background where no window was selected.

        Raises
        ------
        NotPredicted : a window it needs is not there yet.
        """
        planes = np.zeros((len(PLANES), *box.size.shape_rc), np.uint8)
        for tile in self._plan.windows.overlapping(box):
            place = tile.row, tile.col
            if place not in self._selected:
                continue
            if place not in self._done:
                raise NotPredicted(place)
            part = tile.core.clip(box)
            window = self._window(tile)
            planes[:, *part.relative_to(box.origin).rc] = window[:, *part.relative_to(tile.core.origin).rc]
        return planes

    def _window(self, tile: Tile) -> NDArray[np.uint8]:
        """A stored window: blocks share windows, and mostly ask soon after they were written."""
        place = tile.row, tile.col
        planes = self._recent.get(place)
        if planes is None:
            planes = np.asarray(self._array[:, *tile.core.rc])
            self._recent.put(place, planes)
        return planes

    def _needed(self, box: Box) -> list[tuple[int, int]]:
        places = ((tile.row, tile.col) for tile in self._plan.windows.overlapping(box))
        return [place for place in places if place in self._selected]


def _open(path: Path) -> zarr.Array[Any]:
    return zarr.open_array(store=str(path), mode="r+", config=_CONFIG)


def _create(path: Path, plan: Plan) -> zarr.Array[Any]:
    return zarr.create_array(
        store=str(path),
        shape=(len(PLANES), *plan.extent.shape_rc),
        chunks=(len(PLANES), *plan.windows.tile.shape_rc),
        dtype="uint8",
        compressors=[ZstdCodec(level=1), Crc32cCodec()],
        fill_value=0,
        dimension_names=("c", "y", "x"),
        attributes={"planes": list(PLANES)},
        config=_CONFIG,
    )
