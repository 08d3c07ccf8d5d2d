"""Endless tiles from slides, stores and folders of images: the k-th is a function of the seed and k alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from wsi_nucssl.errors import InputError
from wsi_nucssl.locations import Location
from wsi_nucssl.mpp import GivenMpp
from wsi_nucssl.runs import digest

if TYPE_CHECKING:
    from wsi_nucssl.pretext.groups import FindTiles, TileGroup, TileSettings
    from wsi_nucssl.slide import RGB

_ROUND, _PLACE, _CROP = 0, 1, 2
"""Kinds of random draws, so that none shares a generator with another."""


class TileSource:
    """Tiles of many groups, each group equally often, each tile of a group equally often.

    Attributes
    ----------
    groups : sequence of TileGroup
        Those that hold a tile.
    empty : tuple of Location
        Files in which no tile was found.
    """

    def __init__(self, groups: Sequence[TileGroup], seed: int) -> None:
        self.groups = tuple(group for group in groups if len(group))
        self.empty = tuple(group.path for group in groups if not len(group))
        self._seed = seed
        if not self.groups:
            raise InputError(
                "no tile to learn from was found",
                path=str(groups[0].path) if groups else None,
                remedy="Give slides with tissue, tile stores or folders of images; see ⟨min_tissue⟩",
            )

    @property
    def tiles(self) -> int:
        """Number of different tiles."""
        return sum(map(len, self.groups))

    @property
    def tile_px(self) -> int:
        """Side of the largest tile."""
        return max(group.tile_px for group in self.groups)

    @property
    def identity(self) -> str:
        """Hash of what decides the sequence besides the seed."""
        return digest({"groups": [[group.identity, len(group)] for group in self.groups]})

    def tile(self, number: int) -> RGB:
        """The `number`-th tile of the endless sequence, square, uint8 RGB (row, col, 3).

        Groups come in rounds, each round in a new order; a group's tiles likewise.
        """
        visit, place = divmod(number, len(self.groups))
        which = int(self._order(len(self.groups), _ROUND, visit)[place])
        group = self.groups[which]
        lap, index = divmod(visit, len(group))
        pixels = group.read(int(self._order(len(group), _PLACE, which, lap)[index]))
        return _square(pixels, group.tile_px, np.random.default_rng((self._seed, _CROP, number)))

    def _order(self, length: int, *key: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.random.default_rng((self._seed, *key)).permutation(length)


@contextlib.contextmanager
def open_source(
    paths: Sequence[Location], settings: TileSettings, seed: int = 0, find: FindTiles | None = None
) -> Iterator[TileSource]:
    """Tiles from slides, images, folders of them, tile stores, folders of stores, in any mix; open in the context.

    The tiles of slides are found by `find`, if it is given; they are the same.

    Raises
    ------
    InputError
        Nothing usable is there, or a store has another mpp.
    UsageError
        One file of tissue is given for several slides.
    MissingMpp
        A slide does not state its mpp and `settings.slide_mpp` is None.
    """
    from wsi_nucssl.pretext.groups import (
        SlideGroup,
        StoreGroup,
    )  # here: images in memory need no slide library
    from wsi_nucssl.pretext.slide_pool import SlidePool
    from wsi_nucssl.slide.tissue_files import check_tissue

    given = GivenMpp(settings.slide_mpp, settings.force_mpp)
    with contextlib.closing(SlidePool(given, settings.part)) as pool:
        files = {_key(path): path for given in paths for path in _expand(given)}  # each once
        check_tissue([path for path in files.values() if not _is_store(path)], settings.tissue)
        slides = [path for path in files.values() if not _is_store(path)]
        found = dict(zip(slides, find(slides, settings), strict=True)) if find and slides else {}
        groups = [
            StoreGroup(path, settings)
            if _is_store(path)
            else SlideGroup(path, settings, pool, found.get(path))
            for path in files.values()
        ]
        yield TileSource(groups, seed)


def _is_store(path: Location) -> TypeGuard[Path]:
    return isinstance(path, Path) and path.is_dir()


def _key(path: Location) -> Location:
    return Path(os.path.realpath(path)) if isinstance(path, Path) else path


def _expand(path: Location) -> Sequence[Location]:
    """Files and stores behind a path, by name; of a folder those in all folders below it."""
    from wsi_nucssl.slide.finding import slides_in

    if not isinstance(path, Path) or not path.is_dir() or (path / "zarr.json").exists():
        return [path]
    found = slides_in(path)
    stores = [store for store in found.stores if (store / "zarr.json").exists()]
    if not (found.slides or stores):
        raise InputError(
            f"the folder holds no slide, image or tile store ({found.message_with_stores})",
            path=path,
            remedy="Give the folder that holds them",
        )
    return sorted([*found.slides, *stores], key=lambda each: each.relative_to(path).parts)


def _square(pixels: RGB, tile_px: int, rng: np.random.Generator) -> RGB:
    """A square of at most `tile_px`, anywhere in the tile."""
    rows, cols = pixels.shape[:2]
    side = min(rows, cols, tile_px)
    y, x = (int(rng.integers(0, length - side + 1)) for length in (rows, cols))
    return pixels[y : y + side, x : x + side]
