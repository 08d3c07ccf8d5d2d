"""Options that several commands share; their choices come from the registries."""

from __future__ import annotations

from typing import Annotated

import typer

from wsi_nucssl.slide.registry import READERS
from wsi_nucssl.slide.tissue_methods import TISSUES

ReaderName = Annotated[
    str,
    typer.Option(
        "--reader", help=f"auto, {', '.join(READERS.own_names)}, or one that an installed package adds."
    ),
]
OneSlide = Annotated[str, typer.Argument(help="Slide or image, a file or a URL.", show_default=False)]
Slides = Annotated[list[str], typer.Argument(help="Slides or images, files or URLs.", show_default=False)]
TissueName = Annotated[
    str,
    typer.Option(
        "--tissue",
        metavar="NAME|FILE|FOLDER",
        help="Where nuclei are looked for. "
        + "; ".join(f"{each.name}: {each.help}" for each in TISSUES.own)
        + "; or annotations as GeoJSON, of QuPath or --write-tissue, in a folder by the slides' names.",
    ),
]
