"""`wsi-nucssl overlay`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from wsi_nucssl.errors import UsageError
from wsi_nucssl_cli.options import Focus, OneSlide, ReaderName, Scene

_HEX = re.compile(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")


def _color(text: str) -> tuple[int, int, int] | None:
    if not text:
        return None
    found = _HEX.fullmatch(text)
    if found is None:
        raise UsageError(f"⟨color⟩ {text!r} is no colour", remedy="Write it as #00a050")
    red, green, blue = (int(part, 16) for part in found.groups())
    return red, green, blue


def overlay(
    slide: OneSlide,
    nuclei: Annotated[
        Path,
        typer.Argument(
            metavar="NUCLEI",
            help="What segment wrote for it, in any format with outlines; GeoJSON of others too.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="Picture to write: .png, .jpg, .tif or .webp.", show_default=False
        ),
    ],
    region: Annotated[
        tuple[int, int, int, int] | None,
        typer.Option(help="X Y WIDTH HEIGHT in level-0 px.", show_default="the whole slide"),
    ] = None,
    zoom: Annotated[float, typer.Option(help="Picture px per level-0 px.", min=0.001, max=16)] = 1.0,
    shape: Annotated[
        str,
        typer.Option(
            metavar="auto|outlines|density",
            help="What to draw; auto: outlines where they are large enough, else density.",
        ),
    ] = "auto",
    color: Annotated[
        str,
        typer.Option(metavar="#RRGGBB", help="Of all outlines.", show_default="by the nuclei's class"),
    ] = "",
    width: Annotated[float, typer.Option(help="Of outlines, in px of the picture.")] = 1.0,
    fill: Annotated[float, typer.Option(help="How much the nuclei's insides cover, 0 to 1.")] = 0.0,
    color_by: Annotated[
        str,
        typer.Option(
            metavar="MEASUREMENT",
            help="Colour by a measurement, such as area_um2 or 'Area µm^2', with a colour bar.",
            show_default=False,
        ),
    ] = "",
    plain: Annotated[bool, typer.Option("--plain", help="Leave out scale bar and legend.")] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Draw nuclei of another slide all the same.")
    ] = False,
    reader: ReaderName = "auto",
    scene: Scene = None,
    focus: Focus = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a picture that is there.")] = False,
) -> None:
    """Draw a result on its slide."""
    from wsi_nucssl.files import write_atomic
    from wsi_nucssl.geometry import Box
    from wsi_nucssl.locations import locate
    from wsi_nucssl.outputs import check_output
    from wsi_nucssl.pictures import encoder_of
    from wsi_nucssl.segment.drawable import open_drawable
    from wsi_nucssl.segment.overlay import OverlayStyle, draw_overlay
    from wsi_nucssl.slide import open_slide
    from wsi_nucssl.slide.part import PartChoice

    check_output(output, inputs=(locate(slide), nuclei), overwrite=overwrite)
    encode = encoder_of(output)
    style = OverlayStyle(shape, _color(color), width, fill, color_by, plain)  # type: ignore[arg-type]
    box = None if region is None else Box.parse(region)
    part = PartChoice.recorded(open_drawable(nuclei).header)
    with open_slide(
        slide,
        reader=reader,
        scene=part.scene if scene is None else scene,
        focus=part.focus if focus is None else focus,
    ) as opened:
        picture = draw_overlay(opened, nuclei, box, zoom, style, anyway=anyway)
    write_atomic(output, encode(picture))
