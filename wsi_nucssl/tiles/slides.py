"""Slides into tile stores, one store a slide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wsi_nucssl.cohort import OnFailure, for_each_slide
from wsi_nucssl.locations import Location
from wsi_nucssl.slide import open_slide
from wsi_nucssl.slide.tissue_files import check_tissue
from wsi_nucssl.tiles.ingest import TileConfig, TileProgress, ingest
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


def ingest_slides(
    targets: dict[Location, Path],
    config: TileConfig,
    source: SlideSource,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    on_slide: Callable[[Location], Callable[[TileProgress], None]],
    on_store: Callable[[Location, TileStore], None],
    on_failure: OnFailure,
) -> None:
    """Store the tissue tiles of each slide at its target. A slide that fails is reported, and the others go on.

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

    def ingest_one(path: Location) -> None:
        with open_slide(
            path,
            reader=source.reader,
            mpp=source.mpps.get(path, source.mpp),
            force_mpp=source.force_mpp,
            scene=source.scene,
            focus=source.focus,
        ) as slide:
            store = ingest(
                slide, targets[path], config, workers=workers, overwrite=overwrite, on_progress=on_slide(path)
            )
        on_store(path, store)

    for_each_slide(targets, ingest_one, on_failure)
