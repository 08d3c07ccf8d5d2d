"""`wsi-nucssl benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from wsi_nucssl.annotation_classes import REGION
from wsi_nucssl.engines.registry import ENGINES
from wsi_nucssl.metrics.registry import METRICS
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.devices import Device
from wsi_nucssl_cli.choices import one_of
from wsi_nucssl_cli.display import Meter, out, say_hello, say_warning
from wsi_nucssl_cli.importing import uncollected
from wsi_nucssl_cli.options import Classes, Regions

METRICS_HELP: Final = f"Metrics: {', '.join(METRICS.own_names)}, and those that packages add."


def benchmark(
    datasets: Annotated[list[Path], typer.Argument(help="Folders of annotated images.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the results.", show_default=False)
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A bundled model's name, a weights file or a fine-tuning run; may be repeated.",
            show_default=f"{DEFAULT_MODEL}, if no --predictions",
        ),
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of label images or GeoJSON named as the images; may be repeated."),
    ] = None,
    split: Annotated[
        Literal["auto", "val", "train", "all"],
        typer.Option(help="Which images; auto: val where a split is known, else all."),
    ] = "auto",
    split_file: Annotated[
        Path | None, typer.Option(help="A split.json instead of the models' own split.")
    ] = None,
    by: Annotated[
        Literal["dataset", "organ", "patient"] | None,
        typer.Option(help="Also give the means of each of these groups."),
    ] = None,
    oracle: Annotated[
        bool,
        typer.Option("--oracle", help="Also score with perfect splitting, and with a perfect foreground."),
    ] = False,
    stress: Annotated[
        bool,
        typer.Option(
            "--stress",
            help="Also score each image framed, blurred, restained, rescaled and otherwise perturbed.",
        ),
    ] = False,
    mpp: Annotated[
        float | None, typer.Option(help="µm per px of images of which no file says it; 0.25 if not given.")
    ] = None,
    regions: Regions = REGION,
    classes: Classes = "",
    device: Annotated[Device, typer.Option(help="What the network runs on.")] = "auto",
    engine: Annotated[
        str, one_of(ENGINES, "auto", help="What runs the network; auto: the fastest that is as accurate.")
    ] = "auto",
    tta: Annotated[int, typer.Option(help="Mirrored and rotated views to average over: 1, 2, 4 or 8.")] = 1,
    overlays: Annotated[bool, typer.Option(help="Draw the errors on each image.")] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a benchmark that was stopped.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and warnings only.")] = False,
) -> None:
    """Score models or predictions on annotated images. AJI and the other measures, with intervals."""
    say_hello("benchmark", quiet=quiet)

    with uncollected():
        from wsi_nucssl.jobs.scoring import benchmark as score

    meter = Meter(", ".join(each.name for each in datasets), "images", quiet=quiet)
    try:
        report = score(
            datasets,
            output,
            model=model,
            predictions=predictions or (),
            split=split,
            split_file=split_file,
            by=by,
            oracle=oracle,
            stress=stress,
            overlays=overlays,
            mpp=mpp,
            regions=regions,
            classes=classes,
            device=device,
            engine=engine,
            views=tta,
            resume=resume,
            overwrite=overwrite,
            on_image=meter.update,
        ).report
    finally:
        meter.stop()
    for warning in report.selection.warnings:
        say_warning(warning)
    if not quiet:
        out.print(report.as_markdown(), markup=False)
        out.print(f"written to {output}", markup=False)
