"""Options that several commands share; their choices come from the registries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.registry import EXPORTERS
from wsi_nucssl.slide.registry import READERS
from wsi_nucssl.slide.tissue_methods import TISSUES

if TYPE_CHECKING:
    from wsi_nucssl.slide_list import ListedSlide

ReaderName = Annotated[
    str,
    typer.Option(
        "--reader", help=f"auto, {', '.join(READERS.own_names)}, or one that an installed package adds."
    ),
]
ForceMpp = Annotated[
    bool,
    typer.Option(
        "--force-mpp",
        help="The mpp given goes before what slides say, and an unusual one is not questioned.",
    ),
]
Scene = Annotated[
    str | None,
    typer.Option(
        "--scene",
        metavar="NAME|N",
        help="Which scene of a file that holds several: its name, or its number, from 0.",
    ),
]
Focus = Annotated[
    int | None,
    typer.Option(
        "--focus",
        metavar="N",
        min=0,
        help="Which plane of a focus stack, from 0.",
        show_default="the sharpest",
    ),
]
OneSlide = Annotated[str, typer.Argument(help="Slide or image, a file or a URL.", show_default=False)]
Slides = Annotated[list[str], typer.Argument(help="Slides or images, files or URLs.", show_default=False)]
SomeSlides = Annotated[
    list[str] | None, typer.Argument(help="Slides or images, files or URLs.", show_default=False)
]
SlideList = Annotated[
    Path | None,
    typer.Option(
        "--slides", help="A list of slides: a .csv with columns path, mpp, output, or one path a line."
    ),
]
MinArea = Annotated[float, typer.Option("--min-area", help="Write nuclei of at least this area in µm².")]
MinProbability = Annotated[
    float, typer.Option("--min-probability", help="Write nuclei of at least this mean probability, 0 to 1.")
]
FORMATS_HELP: Final = (
    "One or several, written beside each other in one pass: "
    f"{', '.join(EXPORTERS.own_names)}, or what an installed package adds."
)
TissueName = Annotated[
    str,
    typer.Option(
        "--tissue",
        metavar="NAME|FILE|FOLDER",
        help="What counts as tissue. "
        + "; ".join(f"{each.name}: {each.help}" for each in TISSUES.own)
        + "; or annotations as GeoJSON, of QuPath or --write-tissue, in a folder by the slides' names.",
    ),
]


def listed_slides(
    slides: list[str] | None, slide_list: Path | None, *, force_mpp: bool
) -> tuple[ListedSlide, ...]:
    """The slides that are named, and those of the list."""
    from wsi_nucssl.locations import locate
    from wsi_nucssl.slide_list import ListedSlide, read_slide_list

    named = tuple(ListedSlide(locate(slide)) for slide in slides or ())
    listed = () if slide_list is None else read_slide_list(slide_list, force_mpp=force_mpp)
    if not named and not listed:
        raise UsageError("no slide is given", remedy="Name slides, or give a list of them with ⟨slides⟩")
    return named + listed
