"""`wsi-nucssl finetune`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from wsi_nucssl_cli.display import MAX_SEED, out


def finetune(
    dataset: Annotated[Path, typer.Argument(help="Folder of annotated images.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Run directory.", show_default=False)],
    arch: Annotated[str, typer.Option(help="resunet101, resunet50, resunet34 or resunet18.")] = "resunet101",
    encoder: Annotated[
        str,
        typer.Option(help="Where the encoder starts: none, imagenet, a pretraining run or a weights file."),
    ] = "none",
    config: Annotated[
        Path | None, typer.Option(help="Recipe YAML; what it leaves out keeps its default.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Overrides the recipe's.")] = None,
    fraction: Annotated[float, typer.Option(help="Share of the training images to use, by image.")] = 1.0,
    fold: Annotated[str, typer.Option(help="i/k: the i-th of k folds instead of the 24/6 hold-out.")] = "",
    split: Annotated[Path | None, typer.Option(help="A split.json to use instead.")] = None,
    mpp: Annotated[float, typer.Option(help="µm per px of the images.")] = 0.25,
    seed: Annotated[
        int, typer.Option(help="Of the split, the initialisation and every crop.", min=0, max=MAX_SEED)
    ] = 0,
    device: Annotated[Literal["auto", "cpu"], typer.Option(help="What to train on.")] = "auto",
    loader_threads: Annotated[int, typer.Option(help="Threads that prepare crops.", min=1)] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start again.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Train a ResUNet on annotated images; the best weights by validation AJI stay in the run."""
    from wsi_nucssl.train.finetune import finetune as run_finetune
    from wsi_nucssl.train.job import SplitChoice, make_job
    from wsi_nucssl.train.recipe import Recipe

    recipe = Recipe.load(config) if config else Recipe()
    job = make_job(
        dataset,
        split=SplitChoice(seed, split, fold, fraction),
        recipe=recipe if epochs is None else recipe.changed({"epochs": epochs}),
        arch=arch,
        encoder=encoder,
        mpp=mpp,
        seed=seed,
    )
    for note in job.dataset.notes:
        out.print(note, markup=False)

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
        loader_threads=loader_threads,
        report=report,
    )
    if not quiet:
        score = (
            f"calibrated validation AJI {result.validation_aji:.4f}"
            if job.split.validation
            else "not validated"
        )
        out.print(f"best weights: {result.weights} · {score}", markup=False)
        out.print(f"next: wsi-nucssl segment SLIDE -o nuclei.geojson --model {output}", markup=False)
