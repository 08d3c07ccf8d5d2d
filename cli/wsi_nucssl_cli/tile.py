"""`wsi-nucssl tile`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wsi_nucssl.cluster import TASK_S
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE
from wsi_nucssl_cli.clusters import workers_of
from wsi_nucssl_cli.options import (
    AsJson,
    BreakLock,
    ClusterName,
    Focus,
    ForceMpp,
    ReaderName,
    RetryFailed,
    Scene,
    ShardName,
    SlideList,
    SomeSlides,
    TaskTimeout,
    TissueName,
    gathered,
    printed_as_json,
)
from wsi_nucssl_cli.slide_display import SlideDisplay

if TYPE_CHECKING:
    from wsi_nucssl.locations import Location
    from wsi_nucssl.tiles.ingest import TileProgress
    from wsi_nucssl.tiles.store import TileStore


def tile(
    output: Annotated[
        str,
        typer.Option(
            "-o", "--output", help="Folder for the stores, one a slide; a path, or a URL such as s3://."
        ),
    ],
    slides: SomeSlides = None,
    slide_list: SlideList = None,
    mpp: Annotated[float, typer.Option(help="µm per px of the tiles.")] = 0.25,
    tile_size: Annotated[int, typer.Option(help="Side of a tile in px.")] = 1000,
    min_tissue: Annotated[
        float, typer.Option(help="Store tiles of which at least this part is tissue.")
    ] = 0.1,
    tissue: TissueName = DEFAULT_TISSUE,
    codec: Annotated[
        Literal["zstd", "blosc", "none", "jpeg"],
        typer.Option(help="All lossless but jpeg; see docs/tiles.md."),
    ] = "zstd",
    slide_mpp: Annotated[
        float | None, typer.Option(help="µm per px of the slides' level 0, where they do not say.")
    ] = None,
    force_mpp: ForceMpp = False,
    scene: Scene = None,
    focus: Focus = None,
    reader: ReaderName = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Threads that decode and write.", show_default="one per core")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace stores that are there.")] = False,
    break_lock: BreakLock = False,
    cluster: ClusterName = "",
    task_timeout: TaskTimeout = TASK_S,
    shard: ShardName = None,
    retry_failed: RetryFailed = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the tissue tiles of slides as OME-Zarr. Interrupted and run again, it continues."""
    from wsi_nucssl.geometry import Mpp
    from wsi_nucssl.jobs.arguments import staged_outputs
    from wsi_nucssl.jobs.clusters import copy_with
    from wsi_nucssl.slide_list import mpp_of, names_of
    from wsi_nucssl.tiles.ingest import TileConfig
    from wsi_nucssl.tiles.slides import SlideSource, ingest_slides, tile_batch

    listed = gathered(slides, slide_list, force_mpp=force_mpp, quiet=quiet)
    config = TileConfig(Mpp.square(mpp), tile_size, min_tissue, codec, tissue)
    source = SlideSource(reader, slide_mpp, force_mpp, mpp_of(listed), scene, focus)
    place, stage = staged_outputs(output)
    targets, batch = tile_batch(
        listed,
        place,
        shard=shard,
        retry_failed=retry_failed,
        overwrite=overwrite,
        source=source,
        stage=stage,
    )
    display = SlideDisplay(quiet=quiet, only_json=as_json)

    def begin(slide: Location) -> Callable[[TileProgress], None]:
        update = display.begin(slide)
        return lambda progress: update(progress.done, progress.total, "")

    def finish(slide: Location, store: TileStore, *, earlier: bool) -> None:
        display.end(slide)
        when = ", done earlier" if earlier else ""
        where = stage.shown(store.path) if stage else store.path
        display.say(f"{display.name_of(slide)}: {len(store)} tiles in {where}{when}")

    with (
        printed_as_json(batch, wanted=as_json),
        display,
        workers_of(cluster, task_timeout) as pool,
    ):
        ingest_slides(
            targets,
            config,
            source,
            workers=workers,
            overwrite=overwrite,
            break_lock=break_lock,
            names=names_of(listed),
            batch=batch,
            on_start=display.start,
            on_slide=begin,
            on_store=finish,
            on_failure=display.fail,
            copy=copy_with(pool),
            stage=stage,
            at_once=2 if pool else 1,
        )
