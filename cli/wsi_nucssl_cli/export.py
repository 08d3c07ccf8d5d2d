"""`wsi-nucssl export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsi_nucssl_cli.display import out, say_hello
from wsi_nucssl_cli.options import FORMATS_HELP, MinArea, MinProbability


def export(
    source: Annotated[
        Path,
        typer.Argument(
            help="What segment wrote, in any format but .csv and label images.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="A file of one of the formats, or a folder.", show_default=False),
    ],
    formats: Annotated[
        str,
        typer.Option("--format", metavar="NAME,…", help=FORMATS_HELP, show_default="by the output's name"),
    ] = "",
    slide: Annotated[
        Path | None,
        typer.Option("--slide", help="The slide that the nuclei are of; DICOM annotations refer to it."),
    ] = None,
    min_area: MinArea = 0.0,
    min_probability: MinProbability = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that are there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Write a result in other formats. Needs neither the network nor, but for DICOM, the slide."""
    say_hello("export", quiet=quiet)

    from wsi_nucssl.errors import UsageError
    from wsi_nucssl.export.registry import endings, format_of
    from wsi_nucssl.jobs.exporting import export as run
    from wsi_nucssl.segment.outputs import outputs

    if not formats and format_of(output) is None:
        raise UsageError(
            "neither the output's name nor ⟨formats⟩ says what to write",
            path=output,
            remedy=f"Add ⟨formats⟩, or a name that ends in {endings()}",
        )
    named = source.with_name(f"{source.name.removesuffix(f'.{format_of(source)}')}.nuclei")
    (places,) = outputs([named], output, formats.split(",") if formats else ()).values()
    count = run(
        source,
        places,
        slide=slide,
        min_area_um2=min_area,
        min_probability=min_probability,
        overwrite=overwrite,
    )
    if not quiet:
        out.print(f"{source.name}: {count} nuclei", markup=False)
        for place in places:
            out.print(f"  {place}", markup=False)
