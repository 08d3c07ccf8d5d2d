"""`wsi-nucssl segment`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsi_nucssl.cluster import TASK_S
from wsi_nucssl.engines.registry import ENGINES
from wsi_nucssl.export.registry import DEFAULT
from wsi_nucssl.memory import parse_bytes
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.devices import Device
from wsi_nucssl.segment.options import Origin, SegmentOptions
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE
from wsi_nucssl_cli.choices import one_of
from wsi_nucssl_cli.clusters import workers_of
from wsi_nucssl_cli.display import say_hello
from wsi_nucssl_cli.importing import uncollected
from wsi_nucssl_cli.options import (
    FORMATS_HELP,
    AsJson,
    BreakLock,
    ClusterName,
    Focus,
    ForceMpp,
    MinArea,
    MinProbability,
    ReaderName,
    RetryFailed,
    RoiClass,
    RoiPath,
    Scene,
    ShardName,
    SlideList,
    SomeSlides,
    TaskTimeout,
    TissueName,
    gathered,
    printed_as_json,
)
from wsi_nucssl_cli.plan import show_plan
from wsi_nucssl_cli.slide_display import SlideDisplay

if TYPE_CHECKING:
    from wsi_nucssl.locations import Location
    from wsi_nucssl.segment.executor import OnProgress, SlideProgress
    from wsi_nucssl.segment.summary import SegmentSummary
    from wsi_nucssl.staging import Stage


def _batch_size(text: str) -> int | None:
    try:
        return None if text == "auto" else int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a whole number nor auto") from None


def segment(
    context: typer.Context,
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            help="A file of one of the formats, or a folder for several slides; a path, or a URL such as s3://.",
        ),
    ],
    slides: SomeSlides = None,
    slide_list: SlideList = None,
    model: Annotated[
        str,
        typer.Option(
            help="A bundled model's name, a weights file or a fine-tuning run.",
            show_default=DEFAULT_MODEL,
        ),
    ] = "",
    mpp: Annotated[
        float | None, typer.Option(help="µm per px of level 0, where a slide does not say it.")
    ] = None,
    force_mpp: ForceMpp = False,
    scene: Scene = None,
    focus: Focus = None,
    device: Annotated[Device, typer.Option(help="What the network runs on.")] = "auto",
    engine: Annotated[
        str, one_of(ENGINES, "auto", help="What runs the network; auto: the fastest that is as accurate.")
    ] = "auto",
    tta: Annotated[int, typer.Option(help="Mirrored and rotated views to average over: 1, 2, 4 or 8.")] = 1,
    batch_size: Annotated[
        int | None,
        typer.Option(
            parser=_batch_size, metavar="N|auto", help="Windows at a time.", show_default="auto: by device"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Threads that read, and as many that extract.")] = 2,
    memory: Annotated[
        str,
        typer.Option(
            metavar="SIZE",
            help="The most that this process may hold, such as 4G; fewer workers and smaller caches keep it.",
            show_default="no bound, and no more on a larger slide",
        ),
    ] = "",
    origin: Annotated[
        Origin,
        typer.Option(
            help="What coordinates count from. qupath: the slide's bounds, as in QuPath; level0: its corner."
        ),
    ] = "qupath",
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME,…",
            help=FORMATS_HELP,
            show_default=f"by the output's name, else {DEFAULT}",
        ),
    ] = "",
    reader: ReaderName = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs and runs that are there.")
    ] = False,
    break_lock: BreakLock = False,
    shard: ShardName = None,
    retry_failed: RetryFailed = False,
    keep_probabilities: Annotated[
        bool, typer.Option("--keep-probabilities", help="Leave the probability zarr in OUTPUT.run.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="A slide whose result is doubtful fails, and nothing is written for it."
        ),
    ] = False,
    tissue: TissueName = DEFAULT_TISSUE,
    write_tissue: Annotated[
        Path | None,
        typer.Option(help="Write the tissue as annotations: a .geojson for one slide, else a folder."),
    ] = None,
    roi: RoiPath = None,
    roi_class: RoiClass = None,
    min_area: MinArea = 0.0,
    min_probability: MinProbability = 0.0,
    cluster: ClusterName = "",
    task_timeout: TaskTimeout = TASK_S,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what the run would take, as plan does, and stop; takes a few seconds."
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report/--no-report", help="Write a page to look at beside each result, NAME.report.html."
        ),
    ] = True,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors and doubtful results only.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also print where the time went.")] = False,
    as_json: AsJson = False,
) -> None:
    """Segment slides into GeoJSON for QuPath, and tables."""
    say_hello("segment", quiet=quiet)

    with uncollected():
        from wsi_nucssl.export.selection import Selection
        from wsi_nucssl.jobs.arguments import staged_outputs
        from wsi_nucssl.jobs.clusters import steps_with
        from wsi_nucssl.jobs.reporting import with_report
        from wsi_nucssl.models.weights import load_model
        from wsi_nucssl.report.batch_report import batch_reported
        from wsi_nucssl.segment.slides import segment_batch, segment_slides
        from wsi_nucssl.slide_list import mpp_of, names_of

    options = SegmentOptions(
        mpp=mpp,
        force_mpp=force_mpp,
        scene=scene,
        focus=focus,
        strict=strict,
        reader=reader,
        device=device,
        engine=engine,
        views=tta,
        batch_size=batch_size,
        workers=workers,
        memory=parse_bytes("memory", memory) if memory else None,
        origin=origin,
        keep_probabilities=keep_probabilities,
        selection=Selection(min_area, min_probability),
        tissue=tissue,
        write_tissue=write_tissue,
        roi=roi,
        roi_class=tuple(roi_class or ()),
    )
    listed = gathered(slides, slide_list, force_mpp=force_mpp, quiet=quiet)
    resume = resume or (retry_failed and not overwrite)
    place, stage = staged_outputs(output)
    targets, batch = segment_batch(
        listed,
        place,
        formats.split(",") if formats else (),
        shard=shard,
        retry_failed=retry_failed,
        resume=resume,
        options=options,
        stage=stage,
    )
    weights = load_model(model or DEFAULT_MODEL)
    if dry_run:
        show_plan(
            {slide: targets[slide] for slide in batch.slides if slide not in batch.done_earlier},
            weights,
            options,
            mpps=mpp_of(listed),
            names=names_of(listed),
            resume=resume,
            overwrite=overwrite,
            steps=context.obj,
            as_json=as_json,
        )
        return
    display = _Display(stage, quiet=quiet, verbose=verbose, only_json=as_json)
    with (
        printed_as_json(batch, wanted=as_json),
        display,
        workers_of(cluster, task_timeout) as pool,
        batch_reported(batch, wanted=report, stage=stage),
    ):
        segment_slides(
            targets,
            weights,
            options,
            mpps=mpp_of(listed),
            names=names_of(listed),
            resume=resume,
            overwrite=overwrite,
            break_lock=break_lock,
            batch=batch,
            on_start=display.start,
            stage=stage,
            on_slide=display.watch,
            on_summary=display.finish,
            on_failure=display.fail,
            steps=with_report(steps_with(pool, context.obj, options), wanted=report),
        )


class _Display(SlideDisplay):
    """Progress of a slide, and a few lines when it is done."""

    def __init__(self, stage: Stage | None, *, quiet: bool, verbose: bool, only_json: bool) -> None:
        super().__init__("tiles", quiet=quiet, only_json=only_json)
        self.verbose, self._stage = verbose, stage

    def watch(self, slide: Location) -> OnProgress:
        """Begin a slide; returns what shows its progress."""
        update = self.begin(slide)

        def show(progress: SlideProgress) -> None:
            update(progress.windows_done, progress.windows, f"{progress.nuclei} nuclei")

        return show

    def finish(self, slide: Location, summary: SegmentSummary) -> None:
        """Say what came out, and where it is."""
        self.end(slide)
        self._tell(slide, summary)
        for doubt in summary.doubts:
            self.doubt(f"{self.name_of(slide)}: {doubt.message}")

    def _tell(self, slide: Location, summary: SegmentSummary) -> None:
        when = "done earlier" if summary.earlier else f"{summary.seconds:.1f} s"
        self.say(f"{self.name_of(slide)}: {summary.nuclei} nuclei, {summary.per_mm2:.0f}/mm², {when}")
        if summary.earlier:
            return
        from wsi_nucssl.segment.reporting import report_path

        if self.verbose:
            fraction = summary.network_seconds / summary.seconds
            self.say(f"  network {summary.network_seconds:.1f} s, {fraction:.0%} of the whole")
        self.say(f"  seams: {summary.seams}")
        for output in summary.outputs:
            self.say(f"  {self._shown(output)}")
        if (page := report_path(summary.output)).exists():
            self.say(f"  {self._shown(page)}")
        for gone in summary.dropped:
            self.say(f"  removed {self._shown(gone)}, of the result that this one replaces")

    def _shown(self, output: Path) -> object:
        """Where it is to be: outputs on object storage are made here first."""
        return self._stage.shown(output) if self._stage else output
