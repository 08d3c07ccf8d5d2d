"""`wsi-nucssl overlay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsi_nucssl_cli.options import Focus, OneSlide, ReaderName, Scene


def overlay(
    slide: OneSlide,
    geojson: Annotated[Path, typer.Argument(help="What segment wrote for it.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="PNG to write.", show_default=False)],
    region: Annotated[
        tuple[int, int, int, int] | None,
        typer.Option(help="X Y WIDTH HEIGHT in level-0 px.", show_default="the whole slide"),
    ] = None,
    zoom: Annotated[float, typer.Option(help="Picture px per level-0 px.", min=0.001, max=16)] = 1.0,
    reader: ReaderName = "auto",
    scene: Scene = None,
    focus: Focus = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a picture that is there.")] = False,
) -> None:
    """Draw the outlines of a result on its slide."""
    from wsi_nucssl.export.reading import NucleiFile
    from wsi_nucssl.files import write_atomic
    from wsi_nucssl.geometry import Box
    from wsi_nucssl.locations import locate
    from wsi_nucssl.outputs import check_output
    from wsi_nucssl.pictures import png
    from wsi_nucssl.segment.overlay import draw_overlay
    from wsi_nucssl.slide import open_slide
    from wsi_nucssl.slide.part import PartChoice

    check_output(output, inputs=(locate(slide), geojson), overwrite=overwrite)
    box = None if region is None else Box.parse(region)
    part = PartChoice.recorded(NucleiFile(geojson).header)
    with open_slide(
        slide,
        reader=reader,
        scene=part.scene if scene is None else scene,
        focus=part.focus if focus is None else focus,
    ) as opened:
        picture = draw_overlay(opened, geojson, box, zoom)
    write_atomic(output, png(picture))
