"""Tiles of stores as batches of tensors, for a training loop of one's own."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wsi_nucssl.checks import whole
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.jobs.arguments import Paths, paths
from wsi_nucssl.tiles.store import TileStore

_WHITE: Final = 255


class StoredTiles(Dataset[Tensor]):
    """The tiles of some stores, store by store in raster order: uint8 RGB (3, h, w), h and w those of a whole tile.

    A tile at the border of its slide is smaller; it lies in the top left corner, and the rest is white. It pickles.

    Parameters
    ----------
    stores : sequence of Path
        Finished stores whose tiles have one size and resolution.

    Raises
    ------
    InputError
        One is no finished store.
    UsageError
        Their tiles differ in size or resolution.
    """

    def __init__(self, stores: Sequence[Path]) -> None:
        self.stores = [TileStore.open(path) for path in stores]
        first = self.stores[0].metadata
        for store in self.stores:
            other = store.metadata
            if (other.tile_px, other.mpp) != (first.tile_px, first.mpp):
                raise UsageError(
                    f"tiles of {first.tile_px} px at mpp {first.mpp} and of {other.tile_px} px at mpp {other.mpp} "
                    "do not go into one batch",
                    path=store.path,
                    remedy="Load these stores apart",
                )
        self.tile_px = first.tile_px
        self.places = [
            (number, tile.row, tile.col) for number, store in enumerate(self.stores) for tile in store
        ]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Tensor:
        number, row, col = self.places[index]
        pixels = self.stores[number].read(row, col)
        whole_tile = np.full((3, self.tile_px, self.tile_px), _WHITE, np.uint8)
        whole_tile[:, : pixels.shape[0], : pixels.shape[1]] = pixels.transpose(2, 0, 1)
        return torch.from_numpy(whole_tile)


def tile_loader(
    stores: Paths,
    *,
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int = 0,
    workers: int = 0,
    drop_last: bool = False,
) -> DataLoader[Tensor]:
    """A torch `DataLoader` over the tiles of stores that `wsi-nucssl tile` or `ingest` made.

    Parameters
    ----------
    stores : str, Path or sequence of them
        Stores, or patterns such as "tiles/*.zarr".
    batch_size : int
        Tiles a batch.
    shuffle : bool
        Another order in each epoch, a function of `seed`; else store by store in raster order.
    seed : int
        Of the order.
    workers : int
        Processes that read, begun afresh ("spawn"); 0 reads in this one. A script that asks for some begins its work
        below `if __name__ == "__main__":`.
    drop_last : bool
        Leave out a last batch that is not full.

    Returns
    -------
    torch.utils.data.DataLoader
        Batches, uint8 (n, 3, h, w); tiles at a slide's border are filled up with white.

    Raises
    ------
    InputError
        A pattern matches nothing, or something is no finished store.
    UsageError
        The stores differ in tile size or resolution, or an option is none.

    Examples
    --------
    >>> import wsi_nucssl as wn
    >>> for batch in wn.tile_loader("tiles/*.zarr", batch_size=32):  # doctest: +SKIP
    ...     loss = network(batch.float() / 255)
    """
    whole("batch_size", batch_size, 1)
    whole("workers", workers, 0)
    whole("seed", seed, 0)
    tiles = StoredTiles(_matching(stores))
    return DataLoader(
        tiles,
        batch_size,
        shuffle=shuffle,
        num_workers=workers,
        drop_last=drop_last,
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=workers > 0,
        generator=torch.Generator().manual_seed(seed),
    )


def _matching(given: Paths) -> list[Path]:
    found: list[Path] = []
    for pattern in paths("stores", given):
        matches = [pattern] if pattern.exists() else [*map(Path, sorted(glob.glob(str(pattern))))]  # noqa: PTH207
        if not matches:
            raise InputError("no tile store is there", path=pattern, remedy="Make one with wsi-nucssl tile")
        found += matches
    if not found:
        raise UsageError("⟨stores⟩ names none", remedy="Give a store or a pattern such as tiles/*.zarr")
    return list(dict.fromkeys(found))
