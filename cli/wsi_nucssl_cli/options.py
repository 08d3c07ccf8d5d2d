"""Options that several commands share; their choices come from the registries."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from wsi_nucssl.export.registry import EXPORTERS
from wsi_nucssl.slide.registry import READERS

ReaderName = Annotated[
    str,
    typer.Option(
        "--reader", help=f"auto, {', '.join(READERS.own_names)}, or one that an installed package adds."
    ),
]
MinArea = Annotated[float, typer.Option("--min-area", help="Write nuclei of at least this area in µm².")]
MinProbability = Annotated[
    float, typer.Option("--min-probability", help="Write nuclei of at least this mean probability, 0 to 1.")
]
OneSlide = Annotated[str, typer.Argument(help="Slide or image, a file or a URL.", show_default=False)]
Slides = Annotated[list[str], typer.Argument(help="Slides or images, files or URLs.", show_default=False)]
FORMATS_HELP: Final = (
    "One or several, written beside each other in one pass: "
    f"{', '.join(EXPORTERS.own_names)}, or what an installed package adds."
)
