"""Slides into tile stores, one store a slide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from wsi_nucssl.batch import Batch, BatchStart, Outcome, versions_of
from wsi_nucssl.cohort import OnFailure, for_each_slide, outputs_in
from wsi_nucssl.files import safe_stem
from wsi_nucssl.ledger import Ledger
from wsi_nucssl.locations import Location
from wsi_nucssl.slide import open_slide
from wsi_nucssl.slide.sharding import Shard, split_off
from wsi_nucssl.slide.tissue_files import check_tissue, tissues_by_place
from wsi_nucssl.slide_list import ListedSlide, names_of
from wsi_nucssl.staging import Stage
from wsi_nucssl.tiles.ingest import CopyTiles, TileConfig, TileProgress, held_paths, ingest
from wsi_nucssl.tiles.store import TileStore


@dataclass(frozen=True, slots=True)
class SlideSource:
    """How to open slides: as `open_slide` takes it; `mpps`, of each slide, before `mpp`."""

    reader: str = "auto"
    mpp: float | None = None
    force_mpp: bool = False
    mpps: Mapping[Location, float] = field(default_factory=dict)
    scene: str | int | None = None
    focus: int | None = None


class OnStore(Protocol):
    """Is told of a slide's store."""

    def __call__(self, slide: Location, store: TileStore, *, earlier: bool) -> None:
        """Take note of it; `earlier` if it was there already."""
        ...


def tile_batch(
    listed: Sequence[ListedSlide],
    output: Path,
    *,
    shard: str | Shard | None = None,
    retry_failed: bool = False,
    overwrite: bool = False,
    source: SlideSource,
    stage: Stage | None = None,
) -> tuple[dict[Location, Path], Batch]:
    """The stores of slides, and the batch that follows them, with a ledger in `output`.

    Parameters
    ----------
    listed : sequence of ListedSlide
        All slides of the batch, as `gather_slides` gives them.
    output : Path
        A folder.
    shard : str or Shard, optional
        Only the slides of this part, such as "2/8".
    retry_failed : bool
        Only slides that the ledger says failed.
    overwrite : bool
        Stores that are there are replaced.
    source : SlideSource
        How slides are opened.
    stage : Stage, optional
        Where `output` lies, if it belongs to a URL.

    Raises
    ------
    UsageError
        Two stores would have one name, or there is no such shard.
    """
    targets = outputs_in(output, [each.slide for each in listed], ".zarr", names_of(listed))
    mine, others = split_off(listed, shard, output, reader=source.reader, mpp=source.mpp)
    batch = Batch(
        {each.slide: targets[each.slide] for each in mine},
        stage.ledger() if stage else Ledger(output),
        others={each.slide: targets[each.slide] for each in others},
        retry_failed=retry_failed,
        keeps_done=not overwrite,
        exists=stage.exists if stage else Path.exists,
    )
    return {each.slide: targets[each.slide] for each in mine}, batch


def ingest_slides(
    targets: dict[Location, Path],
    config: TileConfig,
    source: SlideSource,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    break_lock: bool = False,
    on_slide: Callable[[Location], Callable[[TileProgress], None]],
    on_store: OnStore,
    on_failure: OnFailure,
    names: Mapping[Location, str] = MappingProxyType({}),
    batch: Batch | None = None,
    on_start: Callable[[BatchStart], None] = lambda _: None,
    copy: CopyTiles | None = None,
    stage: Stage | None = None,
    at_once: int = 1,
) -> None:
    """Store the tissue tiles of each slide at its target. A slide that fails is reported, and the others go on.

    Parameters
    ----------
    targets : dict of Location to Path
        Each slide and its store.
    config : TileConfig
        What to store of a slide.
    source : SlideSource
        How to open slides.
    workers : int, optional
        Threads; one a core by default.
    overwrite : bool
        Replace stores that are there.
    break_lock : bool
        Take the lock of runs from a process that does not live on this host.
    on_slide : callable
        Is told when a slide begins; returns what is told of its progress.
    on_store, on_failure : callable
        Are told when a slide is done, now or `earlier`, and when it failed.
    names : mapping of Location to str
        The place of each slide's store, without an ending, where that is not its stem: files of tissue lie likewise.
    batch : Batch, optional
        Which of the slides are to be done, and what becomes of them.
    on_start : callable
        Is told what there is to do, before the first slide.
    copy : CopyTiles, optional
        As `ingest` has it.
    stage : Stage, optional
        Brings stores to the URL where they belong.
    at_once : int
        How many slides are done at a time.

    Raises
    ------
    SomeSlidesFailed
        At the end, naming every slide that failed (a lone slide's own error instead).
    ResourceError
        At once; what was done is kept.
    UsageError
        At once, if one file of tissue is given for several slides.
    """
    check_tissue(targets, config.tissue)
    batch = batch or Batch(targets)
    start = batch.start()
    on_start(start)
    tissues = tissues_by_place(
        config.tissue, {slide: names.get(slide) or safe_stem(slide) for slide in targets}
    )
    versions = versions_of("imagecodecs", "numpy", "zarr")

    def ingest_one(path: Location) -> None:
        store_path = targets[path]
        is_there = (stage.exists if stage else Path.exists)(store_path) and not overwrite
        paths = held_paths(store_path)

        def work() -> TileStore:
            with stage.holding(paths, break_lock=break_lock) if stage else nullcontext():
                return ingested()

        def ingested() -> TileStore:
            with open_slide(
                path,
                reader=source.reader,
                mpp=source.mpps.get(path, source.mpp),
                force_mpp=source.force_mpp,
                scene=source.scene,
                focus=source.focus,
            ) as slide:
                return ingest(
                    slide,
                    store_path,
                    replace(config, tissue=tissues[path]),
                    workers=workers,
                    overwrite=overwrite,
                    break_lock=break_lock,
                    on_progress=on_slide(path),
                    copy=copy,
                )

        store = batch.keep(path, work, lambda store: _outcome(store, is_there), versions)
        on_store(path, store, earlier=is_there)
        if stage:
            stage.clear(paths)

    for_each_slide(start.slides, ingest_one, on_failure, is_lone=batch.is_lone, at_once=at_once)


def _outcome(store: TileStore, is_earlier: bool) -> Outcome:
    return Outcome(tissue_mm2=round(store.tissue_mm2, 4), sha256=store.sha256, earlier=is_earlier)
