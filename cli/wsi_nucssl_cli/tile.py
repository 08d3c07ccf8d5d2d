"""`wsi-nucssl tile`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE
from wsi_nucssl_cli.display import SlideDisplay, out
from wsi_nucssl_cli.options import (
    Focus,
    ForceMpp,
    ReaderName,
    Scene,
    SlideList,
    SomeSlides,
    TissueName,
    listed_slides,
)

if TYPE_CHECKING:
    from wsi_nucssl.locations import Location
    from wsi_nucssl.tiles.ingest import TileProgress
    from wsi_nucssl.tiles.store import TileStore


def tile(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the stores, one a slide.")],
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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Stream the tissue tiles of slides into OME-Zarr stores. Interrupted and run again, it continues."""
    from wsi_nucssl.cohort import outputs_in
    from wsi_nucssl.geometry import Mpp
    from wsi_nucssl.slide_list import mpp_of, names_of
    from wsi_nucssl.tiles.ingest import TileConfig
    from wsi_nucssl.tiles.slides import SlideSource, ingest_slides

    listed = listed_slides(slides, slide_list, force_mpp=force_mpp)
    display = SlideDisplay(quiet=quiet)

    def begin(slide: Location) -> Callable[[TileProgress], None]:
        meter = display.begin(slide)
        return lambda progress: meter.update(progress.done, progress.total)

    def finish(slide: Location, store: TileStore) -> None:
        display.end()
        if not quiet:
            out.print(f"{slide.name}: {len(store)} tiles in {store.path}", markup=False)

    with display:
        ingest_slides(
            outputs_in(output, [each.slide for each in listed], ".zarr", names_of(listed)),
            TileConfig(Mpp.square(mpp), tile_size, min_tissue, codec, tissue),
            SlideSource(reader, slide_mpp, force_mpp, mpp_of(listed), scene, focus),
            workers=workers,
            overwrite=overwrite,
            on_slide=begin,
            on_store=finish,
            on_failure=display.fail,
        )
