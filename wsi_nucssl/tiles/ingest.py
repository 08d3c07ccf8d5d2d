"""From a slide to its tile store: streamed, bounded in memory, and continued where it was interrupted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray

from wsi_nucssl._version import __version__
from wsi_nucssl.checks import one_of, whole, within
from wsi_nucssl.errors import InputError, OutputExists, RunMismatch
from wsi_nucssl.files import disk_errors, remove_tree, replace, restore
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.grid import Tile, TileGrid
from wsi_nucssl.locations import as_text, local
from wsi_nucssl.outputs import check_output
from wsi_nucssl.runs import MANIFEST, beside_of, digest, run_directory
from wsi_nucssl.slide import Canvas, Slide, identity, tissue_mask
from wsi_nucssl.slide.description import MIN_TISSUE, TILE_PX
from wsi_nucssl.slide.resolution import require_detail
from wsi_nucssl.slide.tissue_files import tissue_record
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE, TISSUES, require_method
from wsi_nucssl.threads import prefetch, thread_pool
from wsi_nucssl.tiles.codecs import CODECS, CodecName
from wsi_nucssl.tiles.metadata import StoreMetadata
from wsi_nucssl.tiles.store import STORE_NAMES, TileStore

_STRIP_COLS: Final = 16
"""Tiles are taken in vertical strips this wide, so that the slide tiles that two rows share are still in the
reader's cache when the second row comes, however wide the slide."""

_STORE: Final = "store.zarr"


@dataclass(frozen=True, slots=True)
class TileConfig:
    """What to store of a slide.

    Attributes
    ----------
    mpp : Mpp
        µm per px of the tiles.
    tile_px : int
        Side of a tile in px.
    min_tissue : float
        A tile is stored if at least this part of it is tissue; 0 stores all.
    codec : CodecName
        "none", "zstd" or "blosc" (all lossless), or "jpeg".
    tissue : str
        How tissue is found, as `tissue_mask` takes it: a name, or annotations.
    """

    mpp: Mpp
    tile_px: int = TILE_PX
    min_tissue: float = MIN_TISSUE
    codec: CodecName = "zstd"
    tissue: str = DEFAULT_TISSUE

    def __post_init__(self) -> None:
        object.__setattr__(self, "mpp", Mpp.parse(self.mpp))  # a float, as people type it
        whole("tile_px", self.tile_px, 16, 16384)
        within("min_tissue", self.min_tissue, 0, 1)
        one_of("codec", self.codec, CODECS)
        require_method(self.tissue)


@dataclass(frozen=True, slots=True)
class TileProgress:
    """How far an ingest has come: tiles stored by now, of these found from an earlier run, and in all."""

    done: int
    resumed: int
    total: int


class CopyTiles(Protocol):
    """Copies tiles of a canvas into a store."""

    def __call__(
        self, store: TileStore, canvas: Canvas, tiles: Sequence[Tile], workers: int
    ) -> Generator[None, None, None]:
        """Yields once for each tile that is in the store; closed, nothing of it is at work any longer."""
        ...


def copy_in_threads(
    store: TileStore, canvas: Canvas, tiles: Sequence[Tile], workers: int
) -> Generator[None, None, None]:
    """See `CopyTiles`: by threads of this process."""

    def copy(tile: Tile) -> None:
        store.write(tile, canvas.read(tile.core))

    with thread_pool(workers) as pool:
        yield from prefetch(pool, 2 * workers, copy, tiles)


def ingest(
    slide: Slide,
    destination: str | os.PathLike[str],
    config: TileConfig,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    break_lock: bool = False,
    on_progress: Callable[[TileProgress], None] = lambda _: None,
    copy: CopyTiles | None = None,
) -> TileStore:
    """Store the tissue tiles of `slide` at `destination`.

    Work goes on beside `destination` and takes its name only when whole. Interrupted anywhere and called again, it
    continues; a store that is there already, made of the same slide with the same config, is returned as it is.

    Parameters
    ----------
    slide : Slide
        It stays the caller's to close.
    destination : str or Path
        The store's folder, such as `slide.zarr`.
    config : TileConfig
        What to store.
    workers : int, optional
        Threads that decode and write; by default one per core.
    overwrite : bool
        Replace a store or an unfinished run that is there; the old store stays until the new one is whole.
    break_lock : bool
        Take the lock of a run from a process that does not live on this host.
    on_progress : callable
        Called after each tile, from the calling thread.
    copy : CopyTiles, optional
        What reads and writes the tiles; threads of this process by default.

    Raises
    ------
    MissingMpp, SlideError
        The slide's resolution is unknown or implausible, or its px would be enlarged more than three times.
    UsageError
        `config.tissue` is neither a way to find tissue nor a file.
    OutputExists
        Something else is there; it is never replaced.
    RunMismatch
        What is there was made of another slide or with another config.
    OutputLocked
        Another process is at it.
    """
    require_detail(slide, config.mpp)
    canvas, destination = Canvas(slide, config.mpp), local(destination, "destination")
    metadata = _metadata(canvas, config)
    inputs = (slide.path, *([] if config.tissue in TISSUES else [Path(config.tissue)]))
    check_output(destination, inputs=inputs, overwrite=overwrite, may_exist=True, is_folder=True)
    existing = _existing(destination, overwrite=overwrite)
    if existing and not overwrite:
        return _check_same(existing, metadata)
    workshop = _workshop(destination)
    if existing and _is_same(existing, metadata) and all(map(existing.is_sound, existing)):
        remove_tree(workshop)
        return existing  # it was replaced already, and would come to the same bytes
    goes_on = _begun(workshop, metadata) or not overwrite
    with run_directory(
        workshop, metadata.to_json(), resume=goes_on, overwrite=not goes_on, break_lock=break_lock
    ):
        store = _unfinished(workshop / _STORE, metadata, canvas, config.tissue)
        _fill(store, canvas, workers or os.cpu_count() or 1, on_progress, copy or copy_in_threads)
        store.finish()
        with disk_errors(destination):
            replace(store.path, destination)
    remove_tree(workshop)
    return TileStore.open(destination)


def _workshop(destination: Path) -> Path:
    return destination.with_name(f".{destination.name}.partial")


def held_paths(destination: Path) -> tuple[Path, ...]:
    """All that an ingest leaves, finished or not; the store first."""
    workshop = _workshop(destination)
    return destination, workshop, beside_of(workshop)


def _tissue_parts(canvas: Canvas, grid: TileGrid, tissue: str) -> NDArray[np.float32]:
    """The part of each tile's core that is tissue, float32 (row, col)."""
    mask = tissue_mask(canvas.slide, tissue)
    parts = [mask.coverage(canvas.to_level0(tile.core)) for tile in grid]
    return np.array(parts, np.float32).reshape(grid.rows, grid.cols)


def _metadata(canvas: Canvas, config: TileConfig) -> StoreMetadata:
    slide = canvas.slide
    provenance: dict[str, Any] = {
        "slide": identity(slide),
        "reader": slide.reader,
        "slide_mpp_source": slide.mpp_source,
        **slide.part.record(),
        **tissue_record(config.tissue, slide),
        "versions": {"wsi-nucssl": __version__, "zarr": zarr.__version__},
    }
    return StoreMetadata(
        name=as_text(slide.path.name),
        size=canvas.size,
        mpp=config.mpp,
        tile_px=config.tile_px,
        min_tissue=config.min_tissue,
        codec=config.codec,
        provenance=provenance,
    )


def _existing(destination: Path, *, overwrite: bool) -> TileStore | None:
    """The finished store that is at `destination`; nothing else may be there, or a damaged one to be replaced."""
    restore(destination)
    if not destination.exists():
        return None
    try:
        return TileStore.open(destination)
    except InputError as error:
        names = {entry.name for entry in destination.iterdir()} if destination.is_dir() else set()
        if "zarr.json" in names and "0" in names and names <= set(STORE_NAMES):
            if overwrite:
                return None
            raise
        raise OutputExists(
            "something is there that is not a finished tile store",
            path=destination,
            remedy="Choose another output",
        ) from error


def _check_same(store: TileStore, metadata: StoreMetadata) -> TileStore:
    if not _is_same(store, metadata):
        raise RunMismatch(
            "a tile store of another slide or with other settings is there",
            path=store.path,
            remedy="Choose another output, or replace it with ⟨overwrite⟩",
        )
    return store


def _is_same(store: TileStore, metadata: StoreMetadata) -> bool:
    return digest(store.metadata.to_json()) == digest(metadata.to_json())


def _begun(workshop: Path, metadata: StoreMetadata) -> bool:
    """True if an earlier run with these settings was stopped: it is gone on with, whatever it is to replace."""
    try:
        kept: dict[str, Any] = json.loads((workshop / MANIFEST).read_text())
        return bool(
            {key: kept[key] for key in metadata.to_json()} == json.loads(json.dumps(metadata.to_json()))
        )
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _unfinished(path: Path, metadata: StoreMetadata, canvas: Canvas, tissue: str) -> TileStore:
    """The store of an earlier run, or a new one."""
    try:
        store = TileStore.open(path, unfinished=True)
    except InputError:
        remove_tree(path)  # absent, or damaged
    else:
        if _is_same(store, metadata):
            return store
        remove_tree(path)  # what was replaced a moment before a kill
    empty = path.with_name("empty.zarr")
    TileStore.create(empty, metadata, _tissue_parts(canvas, metadata.grid, tissue))
    empty.rename(path)
    return TileStore.open(path, unfinished=True)


def _fill(
    store: TileStore,
    canvas: Canvas,
    workers: int,
    on_progress: Callable[[TileProgress], None],
    copy: CopyTiles,
) -> None:
    """Write the tiles that are not there yet."""
    tiles = sorted(store, key=lambda tile: (tile.col // _STRIP_COLS, tile.row, tile.col))
    missing = [tile for tile in tiles if not store.is_sound(tile)]
    resumed = len(tiles) - len(missing)
    on_progress(TileProgress(resumed, resumed, len(tiles)))
    with disk_errors(store.path), closing(copy(store, canvas, missing, workers)) as copied:
        for count, _ in enumerate(copied, start=1):
            on_progress(TileProgress(resumed + count, resumed, len(tiles)))
