"""`wsi-nucssl quantise`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsi_nucssl_cli.display import out


def quantise(
    model: Annotated[
        str,
        typer.Argument(
            help="A bundled model's name, a fine-tuning run or a weights file.", show_default=False
        ),
    ],
    dataset: Annotated[Path, typer.Argument(help="Folder of annotated images.", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Quantise a model for --engine int8, on images that its split did not hold out; needs wsi-nucssl[int8]."""
    from wsi_nucssl.datasets import open_dataset
    from wsi_nucssl.evaluate.quantise import quantise_on
    from wsi_nucssl.models.weights import load_model

    path, images = quantise_on(load_model(model), open_dataset(dataset), overwrite=overwrite)
    out.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, calibrated on {images} images", markup=False)
    out.print(f"next: wsi-nucssl benchmark {dataset} --model {model} --engine int8 -o SCORES", markup=False)
