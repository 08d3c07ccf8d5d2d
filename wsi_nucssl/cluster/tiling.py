"""Tiles of slides into stores, copied by a pool of workers."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Final

from wsi_nucssl._version import __version__
from wsi_nucssl.checksums import Checksums
from wsi_nucssl.cluster.facts import WorkerRefused
from wsi_nucssl.cluster.jobs import Job, Jobs
from wsi_nucssl.cluster.pool import Pool
from wsi_nucssl.cluster.work import Kept, SourceSpec, appears, canvas_of, comes
from wsi_nucssl.errors import ClusterError
from wsi_nucssl.grid import Tile
from wsi_nucssl.runs import stop_requests
from wsi_nucssl.slide import Canvas
from wsi_nucssl.tiles.ingest import CopyTiles
from wsi_nucssl.tiles.store import TileStore

_AT_ONCE: Final = 8
"""Tiles that a worker copies in one task: neighbours, so that it decodes what they share once."""
_PACKAGES: Final = ("zarr", "imagecodecs", "numpy", "opencv-python-headless")


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """All that a worker has to know to copy tiles.

    Attributes
    ----------
    source : SourceSpec
        The slide.
    store : Path
        The unfinished store, absolute.
    versions : str
        Of what decides the bytes of a tile.
    token : str
        Of this attempt.
    """

    source: SourceSpec
    store: Path
    versions: str
    token: str


_stores: Final[Kept[StoreSpec, TileStore]] = Kept(3)


def copy_on(pool: Pool) -> CopyTiles:
    """See `CopyTiles`: by the workers of a pool."""

    def copy(
        store: TileStore,
        canvas: Canvas,
        tiles: Sequence[Tile],
        workers: int,  # noqa: ARG001 (of threads)
    ) -> Generator[None, None, None]:
        pool.require_package()
        spec = StoreSpec(SourceSpec.of(canvas), store.path.absolute(), versions(), uuid.uuid4().hex)
        with stop_requests() as stop, Jobs(pool, str(canvas.slide.path), stop) as jobs:
            yield from _copied(store, spec, jobs, deque(_batches(tiles)))

    return copy


def _copied(
    store: TileStore, spec: StoreSpec, jobs: Jobs, todo: deque[tuple[Tile, ...]]
) -> Generator[None, None, None]:
    while todo or len(jobs):
        while todo and jobs.has_room:
            tiles = todo.popleft()
            what = f"the tiles from row {tiles[0].row}, column {tiles[0].col}"
            jobs.submit(Job(copy_tiles, (spec, tiles), what))
        for job, checksums in jobs.ended():
            for tile in job.arguments[1]:
                if not comes(lambda tile=tile: store.holds(tile)):  # type: ignore[misc]
                    raise ClusterError(
                        f"a worker has written tile ({tile.row}, {tile.col}), and it does not appear here",
                        path=store.path,
                        remedy="Give workers and this machine one file system",
                    )
                store.note(tile, checksums[tile.row, tile.col])
                yield


def copy_tiles(spec: StoreSpec, tiles: tuple[Tile, ...]) -> Checksums:
    """What a worker does: read tiles and put them into the store. Returns their checksums."""
    if (mine := versions()) != spec.versions:
        raise WorkerRefused.here(f"would give other bytes: it has {mine} instead of {spec.versions}")
    canvas, store = canvas_of(spec.source), _stores.get(spec, _open_store)
    return {(tile.row, tile.col): store.put(tile, canvas.read(tile.core)) for tile in tiles}


def _open_store(spec: StoreSpec) -> TileStore:
    if not appears(spec.store / "zarr.json"):
        raise WorkerRefused.here(f"cannot see the store {spec.store}")
    return TileStore.open(spec.store, unfinished=True)


def versions() -> str:
    """Of what decides the pixels of a tile, on this machine."""
    return ", ".join([f"wsi-nucssl {__version__}", *(f"{name} {version(name)}" for name in _PACKAGES)])


def _batches(tiles: Sequence[Tile]) -> Iterator[tuple[Tile, ...]]:
    left = iter(tiles)
    while batch := tuple(islice(left, _AT_ONCE)):
        yield batch
