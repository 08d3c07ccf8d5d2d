"""`wsi-nucssl pretrain`, `probe` and `density`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from wsi_nucssl.cluster import TASK_S
from wsi_nucssl.models.encoders import ENCODERS
from wsi_nucssl.pretext.tasks import TASKS
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE
from wsi_nucssl_cli.choices import one_of
from wsi_nucssl_cli.display import MAX_SEED, out, say_warning
from wsi_nucssl_cli.options import (
    BreakLock,
    ClusterName,
    Focus,
    ForceMpp,
    Scene,
    Slides,
    TaskTimeout,
    TissueName,
    say_searched,
)
from wsi_nucssl_cli.slide_display import SlideDisplay

if TYPE_CHECKING:
    from wsi_nucssl.probe.run import ProbeScores
    from wsi_nucssl.train.dry_run import CostEstimate


def pretrain(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Slides (files or URLs), images, tile stores, folders with all of these in them, "
            "or - for a list on standard input.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Run directory.", show_default=False)],
    task: Annotated[str, one_of(TASKS, help="What to learn by.")] = "triplet-rank",
    arch: Annotated[str, one_of(ENCODERS, help="The encoder.")] = "efficientnet-lite0",
    config: Annotated[
        Path | None, typer.Option(help="Recipe YAML; what it leaves out keeps its default.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Overrides the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Tiles a step; overrides the recipe's.")] = None,
    deshortcut: Annotated[
        bool,
        typer.Option("--deshortcut", help="Blur and noise each view after resizing: see docs/pretrain.md."),
    ] = False,
    mpp: Annotated[
        float | None,
        typer.Option(
            help="µm per px of the tiles; if not given, what the network sees that --arch is made for."
        ),
    ] = None,
    slide_mpp: Annotated[
        float | None, typer.Option(help="µm per px of the slides' level 0, where they do not say.")
    ] = None,
    force_mpp: ForceMpp = False,
    scene: Scene = None,
    focus: Focus = None,
    tissue: TissueName = DEFAULT_TISSUE,
    seed: Annotated[int, typer.Option(help="Of initialisation, tiles and views.", min=0, max=MAX_SEED)] = 0,
    device: Annotated[Literal["auto", "cpu"], typer.Option(help="What to train on.")] = "auto",
    loader_threads: Annotated[int, typer.Option(help="Threads that read tiles.", min=1)] = 1,
    cluster: ClusterName = "",
    task_timeout: TaskTimeout = TASK_S,
    preview: Annotated[
        Path | None, typer.Option(help="Write what the network would see to this PNG, and stop.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Take a few steps, say what the run would take, and stop.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start again.")] = False,
    break_lock: BreakLock = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and warnings only.")] = False,
) -> None:
    """Learn an encoder from slides without a label. By scale-wise triplets and count ranking, or a rival's task."""
    from wsi_nucssl.jobs.clusters import find_with
    from wsi_nucssl.jobs.pretraining import pretrain_job
    from wsi_nucssl.models.spec import architecture_of
    from wsi_nucssl.slide.part import PartChoice
    from wsi_nucssl.train.dry_run import dry_run as estimate
    from wsi_nucssl.train.pretrain import pretrain as run_pretrain
    from wsi_nucssl.train.pretrain import preview as write_preview

    job = pretrain_job(
        sources,
        task=task,
        arch=arch,
        recipe=config,
        steps=steps,
        batch_size=batch_size,
        deshortcut=deshortcut,
        mpp=mpp,
        slide_mpp=slide_mpp,
        force_mpp=force_mpp,
        part=PartChoice(scene, focus),
        tissue=tissue,
        seed=seed,
    )
    recipe = job.recipe
    if not quiet:
        say_searched(job.sources)
    if preview is not None:
        write_preview(job, preview, overwrite=overwrite)
        return
    if dry_run:
        _say_estimate(estimate(job, device=device, loader_threads=loader_threads), recipe.steps)
        return

    def report(row: Mapping[str, float], warning: str | None) -> None:
        if warning:
            say_warning(f"step {row['step']}: {warning}")
        if not quiet:
            values = " · ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "step")
            out.print(f"step {row['step']}/{recipe.steps} · {values}", markup=False)

    result = run_pretrain(
        job,
        output,
        device=device,
        resume=resume,
        overwrite=overwrite,
        break_lock=break_lock,
        loader_threads=loader_threads,
        report=report,
        find=find_with(cluster, task_timeout, say_warning),
    )
    if not quiet:
        out.print(f"encoder: {result.weights}", markup=False)
        out.print(
            f"next: wsi-nucssl finetune DATASET -o RUN --encoder {output} --arch {architecture_of(arch)}",
            markup=False,
        )


def probe(
    run: Annotated[Path, typer.Argument(help="A pretraining run.", show_default=False)],
    dataset: Annotated[Path, typer.Argument(help="Folder of annotated images.", show_default=False)],
    baseline: Annotated[
        list[str] | None, typer.Option(help="random, imagenet or a weights file; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split and of the views.", min=0, max=MAX_SEED)] = 0,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="What the encoders run on.")] = "cpu",
) -> None:
    """Show what a frozen encoder has learnt. By linear maps, scored on held-out images."""
    from wsi_nucssl.datasets import open_dataset
    from wsi_nucssl.probe.run import ProbeSettings
    from wsi_nucssl.probe.run import probe as run_probe
    from wsi_nucssl.train.job import SplitChoice

    opened = open_dataset(dataset)
    scores = run_probe(
        run,
        opened,
        SplitChoice(seed).apply(opened),
        baselines=baseline or ["random"],
        device=device,
        settings=ProbeSettings(seed=seed),
    )
    out.print(_probe_table(scores))


def density(
    run: Annotated[Path, typer.Argument(help="A pretraining run whose task ranks.", show_default=False)],
    inputs: Slides,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the pictures.", show_default=False)
    ],
    slide_mpp: Annotated[
        float | None, typer.Option(help="µm per px of the slides' level 0, where they do not say.")
    ] = None,
    force_mpp: ForceMpp = False,
    scene: Scene = None,
    focus: Focus = None,
    pairs: Annotated[int, typer.Option(help="Positive and negative pairs drawn from each image.", min=1)] = 4,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="What the network runs on.")] = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace pictures that are there.")] = False,
) -> None:
    """Draw density maps of images and slides."""
    from wsi_nucssl.locations import locate
    from wsi_nucssl.probe.density import draw_density
    from wsi_nucssl.slide.part import PartChoice

    draw_density(
        run,
        [locate(path) for path in inputs],
        output,
        slide_mpp=slide_mpp,
        force_mpp=force_mpp,
        part=PartChoice(scene, focus),
        pairs=pairs,
        device=device,
        overwrite=overwrite,
        on_picture=lambda picture: out.print(str(picture), markup=False),
        on_failure=SlideDisplay().fail,
    )


def _say_estimate(found: CostEstimate, steps: int) -> None:
    table = Table(show_header=False, box=None)
    for name, value in (
        ("slides", f"{found.slides}, {found.tiles} tiles"),
        ("without tissue", ", ".join(path.name for path in found.empty) or "none"),
        ("parameters", f"{found.parameters / 1e6:.1f} M"),
        ("memory", f"{found.peak_bytes / 2**30:.1f} GiB, a batch in {found.micro_batches} micro-batch(es)"),
        ("step", f"{found.seconds_per_step:.2f} s, of which {found.loader_fraction:.0%} waiting for tiles"),
        ("whole run", f"{found.seconds / 3600:.2f} h for {steps} steps"),
    ):
        table.add_row(name, value)
    out.print(table)


def _probe_table(scores: Mapping[str, ProbeScores]) -> Table:
    from dataclasses import fields

    table = Table()
    table.add_column("probe", overflow="fold")
    for name in scores:
        table.add_column(name, justify="right")
    for field in fields(next(iter(scores.values()))):
        table.add_row(field.name, *(_cell(getattr(each, field.name)) for each in scores.values()))
    return table


def _cell(value: float | tuple[float, ...] | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else " ".join(f"{each:.1f}" for each in value)
