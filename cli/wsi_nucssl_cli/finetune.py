"""`wsi-nucssl finetune`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from wsi_nucssl.annotation_classes import REGION
from wsi_nucssl_cli.display import MAX_SEED, out, say_warning
from wsi_nucssl_cli.options import BreakLock, Classes, Regions


def finetune(
    datasets: Annotated[list[Path], typer.Argument(help="Folders of annotated images.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Run directory.", show_default=False)],
    arch: Annotated[str, typer.Option(help="The network; docs/models.md lists them.")] = "liteunet0x2",
    encoder: Annotated[
        str,
        typer.Option(help="Where the encoder starts: none, imagenet, a pretraining run or a weights file."),
    ] = "none",
    start: Annotated[
        str, typer.Option(help="A model of the same architecture to go on from, such as a bundled one.")
    ] = "",
    config: Annotated[
        Path | None, typer.Option(help="Recipe YAML; what it leaves out keeps its default.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Overrides the recipe's.")] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=W: how often a px of a dataset is seen; NAME is its folder's. May be repeated."
        ),
    ] = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(help="A model whose probabilities are learnt beside the labels. May be repeated."),
    ] = None,
    types: Annotated[
        bool, typer.Option("--types", help="Learn to tell the datasets' types of nuclei apart.")
    ] = False,
    fraction: Annotated[float, typer.Option(help="Fraction of the training images to use, by image.")] = 1.0,
    fold: Annotated[str, typer.Option(help="i/k: the i-th of k folds instead of the 24/6 hold-out.")] = "",
    hold_out: Annotated[
        list[str] | None, typer.Option(help="Name of a dataset that validates and never trains.")
    ] = None,
    train_all: Annotated[
        bool, typer.Option("--train-all", help="Train on every image; nothing validates.")
    ] = False,
    split: Annotated[Path | None, typer.Option(help="A split.json to use instead.")] = None,
    mpp: Annotated[
        float | None, typer.Option(help="µm per px of images of which no file says it; 0.25 if not given.")
    ] = None,
    regions: Regions = REGION,
    classes: Classes = "",
    seed: Annotated[
        int, typer.Option(help="Of the split, the initialisation and every crop.", min=0, max=MAX_SEED)
    ] = 0,
    preview: Annotated[
        bool,
        typer.Option("--preview", help="Only write a picture of crops with their targets to OUTPUT, a .png."),
    ] = False,
    device: Annotated[Literal["auto", "cpu"], typer.Option(help="What to train on.")] = "auto",
    loader_threads: Annotated[int, typer.Option(help="Threads that prepare crops.", min=1)] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start again.")] = False,
    break_lock: BreakLock = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Train a network on annotated images. Its weights at the end of the schedule stay in the run."""
    from wsi_nucssl.jobs.finetuning import finetune_job
    from wsi_nucssl.train.finetune import finetune as run_finetune
    from wsi_nucssl.train.job import parse_weights
    from wsi_nucssl.train.preview import write_preview

    job = finetune_job(
        datasets,
        arch=arch,
        encoder=encoder,
        start=start,
        recipe=config,
        epochs=epochs,
        weights=parse_weights(weight or []),
        teachers=teacher or (),
        types=types,
        fraction=fraction,
        fold=fold,
        hold_out=hold_out or (),
        train_all=train_all,
        split=split,
        mpp=mpp,
        regions=regions,
        classes=classes,
        seed=seed,
    )
    if not quiet:
        for note in job.dataset.notes:
            out.print(note, markup=False)
    if preview:
        write_preview(job, output, overwrite=overwrite)
        if not quiet:
            out.print(f"written: {output}", markup=False)
        return

    def report(row: Mapping[str, float]) -> None:
        if not quiet:
            score = f" · validation AJI {row['validation_aji']:.4f}" if "validation_aji" in row else ""
            seconds = f"{row['seconds']:.0f} s"
            out.print(f"epoch {row['epoch']}/{job.recipe.epochs} · loss {row['loss']:.4f}{score} · {seconds}")

    result = run_finetune(
        job,
        output,
        device=device,
        resume=resume,
        overwrite=overwrite,
        break_lock=break_lock,
        loader_threads=loader_threads,
        report=report,
        warn=say_warning,
    )
    if not quiet:
        aji = result.validation_aji
        score = "not validated" if aji is None else f"calibrated validation AJI {aji:.4f}"
        out.print(f"weights: {result.weights} · {score}", markup=False)
        out.print(f"next: wsi-nucssl segment SLIDE -o nuclei.geojson --model {output}", markup=False)
