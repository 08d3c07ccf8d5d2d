"""`wsi-nucssl reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsi_nucssl.segment.options import Device
from wsi_nucssl_cli.display import Meter, out


def reproduce(
    table: Annotated[
        Literal["table1", "table2", "table3", "table4"],
        typer.Argument(help="Which of the paper's tables.", show_default=False),
    ],
    dataset: Annotated[Path, typer.Argument(help="Folder of annotated images.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for runs and tables.", show_default=False)
    ],
    test: Annotated[
        Path | None, typer.Option(help="Score on all images of this dataset, not on the validation images.")
    ] = None,
    budget: Annotated[str, typer.Option(help="full, or smoke: every cell on tiny settings.")] = "full",
    config: Annotated[
        Path | None, typer.Option(help="YAML of cells and budgets instead of the paper's.")
    ] = None,
    mpp: Annotated[float, typer.Option(help="µm per px of the images.")] = 0.25,
    device: Annotated[Device, typer.Option(help="auto or cpu.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Run the cells of one of the paper's tables and print our numbers beside the paper's; run again to go on."""
    from wsi_nucssl.datasets import open_dataset
    from wsi_nucssl.evaluate.reproduce import reproduce as run_reproduce
    from wsi_nucssl.evaluate.tables import PAPER

    meter = Meter(table, "runs", quiet=quiet)
    try:
        text = run_reproduce(
            table,
            open_dataset(dataset),
            output,
            test=open_dataset(test) if test else None,
            budget=budget,
            config=config or PAPER,
            mpp=mpp,
            device=device,
            on_cell=meter.update,
        )
    finally:
        meter.stop()
    if not quiet:
        out.print(text, markup=False)
