"""`wsi-nucssl reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsi_nucssl_cli.display import Meter, out


def reproduce(
    table: Annotated[
        str,
        typer.Argument(
            help="One of the paper's tables, table1 … table4; or ours: pretraining, decorrelation, "
            "ablation, architectures, recipe.",
            show_default=False,
        ),
    ],
    dataset: Annotated[Path, typer.Argument(help="Folder of annotated images.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for runs and tables.", show_default=False)
    ],
    test: Annotated[
        Path | None, typer.Option(help="Score on all images of this dataset, not on the validation images.")
    ] = None,
    budget: Annotated[
        str,
        typer.Option(
            help="full; cpu, cpu-half, lite or fold: minutes an experiment; or smoke: each on tiny settings."
        ),
    ] = "full",
    unlabelled: Annotated[
        list[Path] | None,
        typer.Option(
            help="A slide, tile store or folder to pretrain on besides the training images; may be repeated."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML of tables and budgets instead of the paper's.")
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="µm per px of images of which no file says it; 0.25 if not given.")
    ] = None,
    device: Annotated[Literal["auto", "cpu"], typer.Option(help="What to train on.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Run a table's experiments, beside the paper's. Run again to go on."""
    from wsi_nucssl.datasets import open_dataset
    from wsi_nucssl.paper.reproduce import reproduce as run_reproduce
    from wsi_nucssl.paper.tables import PAPER

    meter = Meter(table, "runs", quiet=quiet)
    try:
        text = run_reproduce(
            table,
            open_dataset(dataset, mpp=mpp),
            output,
            test=open_dataset(test, mpp=mpp) if test else None,
            budget=budget,
            config=config or PAPER,
            device=device,
            unlabelled=unlabelled or (),
            on_experiment=meter.update,
        )
    finally:
        meter.stop()
    if not quiet:
        out.print(text, markup=False)
