"""Options that several commands share; their choices come from the registries."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wsi_nucssl.export.registry import EXPORTERS, also_called
from wsi_nucssl.slide.registry import READERS
from wsi_nucssl.slide.tissue_methods import TISSUES
from wsi_nucssl_cli.display import say_line

if TYPE_CHECKING:
    from wsi_nucssl.batch import Batch
    from wsi_nucssl.locations import Location
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
    list[str] | None,
    typer.Argument(
        help="Slides or images: files, URLs, folders with all in them, or - for a list on standard input.",
        show_default=False,
    ),
]
SlideList = Annotated[
    Path | None,
    typer.Option(
        "--slides",
        help="A list of slides: a .csv with columns path, mpp, output, or one path a line; - for standard input.",
    ),
]
ShardName = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only the I-th of N parts with about as much tissue, for arrays of jobs.",
    ),
]
RetryFailed = Annotated[
    bool,
    typer.Option("--retry-failed", help="Only the slides that batch.csv in OUTPUT says failed, once more."),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print what became of each slide as one JSON object, and nothing else."),
]
MinArea = Annotated[float, typer.Option("--min-area", help="Write nuclei of at least this area in µm².")]
MinProbability = Annotated[
    float, typer.Option("--min-probability", help="Write nuclei of at least this mean probability, 0 to 1.")
]
FORMATS_HELP: Final = (
    "One or several, written beside each other in one pass: "
    f"{', '.join(name for name in EXPORTERS.own_names if f'({name})' not in also_called())}, {also_called()}, "
    "or what an installed package adds."
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
RoiPath = Annotated[
    Path | None,
    typer.Option(
        "--roi",
        metavar="FILE|FOLDER",
        help="Only nuclei in these annotations: GeoJSON of QuPath's, for several slides in a folder by their names.",
    ),
]
RoiClass = Annotated[
    list[str] | None,
    typer.Option(
        "--roi-class",
        metavar="CLASS",
        help="The class of annotations that --roi takes; may be given several times.",
        show_default="all",
    ),
]

Regions = Annotated[
    str,
    typer.Option(
        "--regions",
        metavar="CLASS",
        help="The class of QuPath's rectangles inside which all nuclei of a slide are annotated.",
    ),
]
Classes = Annotated[
    str,
    typer.Option(
        "--classes",
        metavar="CLASS,…",
        help="The classes of annotated nuclei that count; the others are taken for background.",
        show_default="all",
    ),
]
ClusterName = Annotated[
    str,
    typer.Option(
        "--cluster",
        metavar="local:N|tcp://…|FILE.json|slurm:N|…",
        help="Have the work done by the workers of a dask cluster (docs/cluster.md); the results are the same.",
        show_default="threads of this process",
    ),
]
BreakLock = Annotated[
    bool,
    typer.Option(
        "--break-lock",
        help="Take the lock of a run from a process on another host that has ended; never from one of this host.",
    ),
]
TaskTimeout = Annotated[
    float,
    typer.Option("--task-timeout", help="Seconds after which a worker of a cluster counts as hung.", min=1),
]


def gathered(
    slides: list[str] | None, slide_list: Path | None, *, force_mpp: bool, quiet: bool
) -> tuple[ListedSlide, ...]:
    """The slides that are named, those in folders and those of the list; what was left out is said once."""
    from wsi_nucssl.locations import locate
    from wsi_nucssl.slide.inputs import gather_slides

    inputs = gather_slides([*map(locate, slides or ())], slide_list, force_mpp=force_mpp)
    for found in inputs.searched:
        if not quiet or not found.slides:
            say_line(found.message)
    return inputs.slides


def say_searched(sources: Sequence[Location]) -> None:
    """Say what each folder of slides, images and stores holds, and what is left out of it."""
    from wsi_nucssl.slide.finding import is_store, slides_in

    for place in sources:
        if isinstance(place, Path) and place.is_dir() and not is_store(place):
            say_line(slides_in(place).message_with_stores)


@contextlib.contextmanager
def printed_as_json(batch: Batch, *, wanted: bool) -> Iterator[None]:
    """However the batch ends, print what became of its slides, if that is wanted."""
    try:
        yield
    finally:
        if wanted:
            typer.echo(json.dumps(batch.result().to_json(), indent=2))
