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
    check: Annotated[
        list[Path] | None,
        typer.Option(help="Also compare INT8 with the network as it is on this dataset; may be repeated."),
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="µm per px of images of which no file says it; 0.25 if not given.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Quantise a model for --engine int8. On images that its split did not hold out; NNCF has to be installed."""
    from wsi_nucssl.benchmark.quantise import check_quantised, quantise_on
    from wsi_nucssl.datasets import dataset_names, open_dataset
    from wsi_nucssl.engines.int8 import is_preferred
    from wsi_nucssl.metrics import METRICS
    from wsi_nucssl.models.weights import load_model

    loaded = load_model(model)
    path, images = quantise_on(loaded, open_dataset(dataset, mpp=mpp), overwrite=overwrite)
    out.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, calibrated on {images} images", markup=False)
    sets = {name: open_dataset(each, mpp=mpp) for name, each in dataset_names(check).items()} if check else {}
    costs, aji = check_quantised(loaded, sets) if sets else {}, METRICS.get("aji")
    for name, cost in costs.items():
        change = f"{aji.text(cost.aji)} → {aji.text(cost.aji_int8)} {aji.unit.symbol}"
        figures = f"{aji.title} {change}, {cost.speed:.2f} times as fast"
        out.print(f"{name}: {figures}", markup=False)
    if costs:
        taken = "int8" if is_preferred(loaded) else "openvino"
        out.print(f"on CPUs like this one, --engine auto takes {taken} for this model", markup=False)
    out.print(f"next: wsi-nucssl benchmark {dataset} --model {model} --engine int8 -o SCORES", markup=False)
