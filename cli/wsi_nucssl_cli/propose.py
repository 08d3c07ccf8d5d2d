"""`wsi-nucssl propose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl_cli.display import MAX_SEED, Meter, out, say_hello
from wsi_nucssl_cli.options import OneSlide, ReaderName


def propose(
    slide: OneSlide,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the tiles.", show_default=False)],
    count: Annotated[int, typer.Option("-n", "--count", help="How many tiles, at most.", min=1)] = 20,
    model: Annotated[
        str,
        typer.Option(help="Whose doubts count: a model's name, file or run.", show_default=DEFAULT_MODEL),
    ] = "",
    side_px: Annotated[int, typer.Option(help="Side of a tile at the model's mpp.")] = 512,
    seed: Annotated[
        int, typer.Option(help="Of the tiles that are looked at, on large slides.", min=0, max=MAX_SEED)
    ] = 0,
    mpp: Annotated[
        float | None, typer.Option(help="µm per px of level 0, where the slide does not say it.")
    ] = None,
    reader: ReaderName = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder that is there.")] = False,
) -> None:
    """Pick tiles of a slide that are worth annotating. Diverse and doubtful ones, with outlines for QuPath."""
    say_hello("propose", quiet=False)

    from wsi_nucssl.jobs.proposing import propose as write

    meter = Meter("propose", "tiles")
    try:
        folder = write(
            slide,
            output,
            count,
            model=model or None,
            side_px=side_px,
            seed=seed,
            mpp=mpp,
            reader=reader,
            overwrite=overwrite,
            on_progress=meter.update,
        )
    finally:
        meter.stop()
    tiles = len(list(folder.glob("*.png")))
    out.print(f"{folder}: {tiles} tiles, each a .png and a .geojson to correct in QuPath", markup=False)
    out.print(
        "Correct and export each over its .geojson; finetune leaves out those that nobody exported",
        markup=False,
    )
