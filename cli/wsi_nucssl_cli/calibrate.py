"""`wsi-nucssl calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsi_nucssl.annotation_classes import REGION
from wsi_nucssl_cli.display import out
from wsi_nucssl_cli.options import Classes, Regions


def calibrate(
    models: Annotated[
        list[str], typer.Argument(help="Models, such as the runs of all folds.", show_default=False)
    ],
    dataset: Annotated[
        list[Path],
        typer.Option(
            help="Folder of annotated images; may be repeated. Each counts the same.", show_default=False
        ),
    ],
    into: Annotated[
        list[str] | None,
        typer.Option(
            help="A weights file or run that takes the settings; may be repeated.", show_default=False
        ),
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="µm per px of images of which no file says it; 0.25 if not given.")
    ] = None,
    regions: Regions = REGION,
    classes: Classes = "",
) -> None:
    """Fit thresholds to images that models did not see. Also regrowth and smallest sizes; all models together."""
    from wsi_nucssl.datasets import dataset_names, open_dataset
    from wsi_nucssl.metrics import METRICS
    from wsi_nucssl.models.weights import load_model
    from wsi_nucssl.outputs import check_output
    from wsi_nucssl.train.calibrate import calibrate as fit
    from wsi_nucssl.train.calibrate import predict_unseen, score, write_settings

    loaded, targets = ([load_model(name) for name in names] for names in (models, into or []))
    for target in targets:
        check_output(target.path, overwrite=True)
    sources = predict_unseen(
        loaded,
        {
            name: open_dataset(path, mpp=mpp, regions=regions, classes=classes)
            for name, path in dataset_names(dataset).items()
        },
    )
    start = loaded[0].info.instances
    before, after, aji = score(sources, start), fit(sources, start), METRICS.get("aji")
    for name, images in sources.items():
        change = f"{aji.text(before.means[name])} → {aji.text(after.means[name])} {aji.unit.symbol}"
        out.print(f"{name}: {len(images)} images, {aji.title} {change}", markup=False)
    out.print(f"{before.config}\n→ {after.config}", markup=False)
    for target in targets:
        write_settings(target, after, {"models": [model.sha256 for model in loaded]})
        out.print(f"written into {target.path}; a quantised graph has to be made anew", markup=False)
