"""`wsi-nucssl pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsi_nucssl_cli.display import out


def pack(
    model: Annotated[str, typer.Argument(help="A fine-tuning run or a weights file.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="NAME.safetensors to write.", show_default=False)
    ],
    storage: Annotated[
        Literal["float32", "bfloat16", "int8"],
        typer.Option(help="How convolutions are kept; see docs/models.md."),
    ] = "bfloat16",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write a model's weights compactly, to share. The file's name becomes the model's."""
    from dataclasses import replace

    from wsi_nucssl.models.info import weights_path
    from wsi_nucssl.models.tensors import save_model
    from wsi_nucssl.models.weights import load_model
    from wsi_nucssl.outputs import check_output

    check_output(output, inputs=(weights_path(model),), overwrite=overwrite)
    loaded = load_model(model)
    save_model(output, loaded.network, replace(loaded.info, name=output.stem), storage)
    out.print(f"{output}: {output.stat().st_size / 1e6:.1f} MB", markup=False)
