"""Tiles of stores as batches: every tile once, edges filled with white, workers that are begun afresh."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.jobs.tile_loader import StoredTiles, tile_loader
from wsi_nucssl.slide import open_slide
from wsi_nucssl.tiles.ingest import TileConfig, ingest
from wsi_nucssl.tiles.store import TileStore

SAMPLE = Path(__file__).parent.parent.parent / "sample_slides" / "sample.svs"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The sample slide as two stores of 512-px tiles, whose last row and column are cut."""
    folder = tmp_path_factory.mktemp("tiles")
    with open_slide(SAMPLE) as slide:
        for name, least in (("all.zarr", 0), ("tissue.zarr", 0.8)):
            ingest(slide, folder / name, TileConfig(mpp=0.5, tile_px=512, min_tissue=least))  # type: ignore[arg-type]
    return sorted(folder.glob("*.zarr"))


def _expected(store: TileStore) -> list[torch.Tensor]:
    tiles = []
    for tile in store:
        image = np.full((512, 512, 3), 255, np.uint8)
        pixels = store.read(tile.row, tile.col)
        image[: pixels.shape[0], : pixels.shape[1]] = pixels
        tiles.append(torch.from_numpy(image).permute(2, 0, 1))
    return tiles


def test_every_tile_comes_once_and_edges_collate(stores: list[Path]) -> None:
    batches = list(tile_loader(str(stores[0].parent / "*.zarr"), batch_size=4, shuffle=False))
    wanted = [tile for path in stores for tile in _expected(TileStore.open(path))]
    assert {batch.shape[1:] for batch in batches} == {(3, 512, 512)}
    assert {batch.dtype for batch in batches} == {torch.uint8}
    assert torch.equal(torch.cat(batches), torch.stack(wanted))
    edge = len(TileStore.open(stores[0])) - 1
    assert (batches[edge // 4][edge % 4][:, :, 510:] == 255).all()


def test_shuffling_is_a_function_of_the_seed_and_differs_between_epochs(stores: list[Path]) -> None:
    loaders = [tile_loader(stores[0], batch_size=3, seed=seed) for seed in (7, 7, 8)]
    first, same, other = (torch.cat(list(loader)) for loader in loaders)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert not torch.equal(first, torch.cat(list(loaders[0])))


def test_workers_are_spawned_and_give_the_same(stores: list[Path]) -> None:
    alone, shared = (tile_loader(stores, batch_size=5, workers=workers) for workers in (0, 1))
    assert torch.equal(torch.cat(list(alone)), torch.cat(list(shared)))
    assert shared.multiprocessing_context.get_start_method() == "spawn"
    again = pickle.loads(pickle.dumps(StoredTiles(stores)))
    assert torch.equal(again[0], StoredTiles(stores)[0])


def test_what_does_not_go_together_is_refused(stores: list[Path], tmp_path: Path) -> None:
    with open_slide(SAMPLE) as slide:
        ingest(slide, tmp_path / "small.zarr", TileConfig(mpp=0.5, tile_px=256))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="one batch"):
        tile_loader([stores[0], tmp_path / "small.zarr"])
    with pytest.raises(InputError, match="no tile store"):
        tile_loader(tmp_path / "none*.zarr")
    with pytest.raises(InputError, match="no tile store"):
        tile_loader(tmp_path)
    for name in ("batch_size", "workers", "seed"):
        with pytest.raises(UsageError, match=f"`{name}`"):
            tile_loader(stores, **{name: -1})  # type: ignore[arg-type]
