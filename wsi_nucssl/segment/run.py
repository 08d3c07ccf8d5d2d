"""Segment one slide: pixels in, files of nuclei out, resumable anywhere between."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from wsi_nucssl.doubts import refuse_doubtful
from wsi_nucssl.engines.base import Engine, default_batch_size
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.export.base import ExportContext, Exporter, export
from wsi_nucssl.export.registry import EXPORTERS
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.files import remove_partials, remove_tree, sha256_tree
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.locations import Location, as_text, locate
from wsi_nucssl.models.weights import Model
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.outputs import check_output
from wsi_nucssl.runs import StopRequest, run_directory, stop_requests
from wsi_nucssl.segment.clock import Clock
from wsi_nucssl.segment.executor import Execute, OnProgress, SlideProgress, SlideWork, run_in_threads
from wsi_nucssl.segment.leftovers import Leftovers, check_page
from wsi_nucssl.segment.manifest import manifest_of
from wsi_nucssl.segment.memory import Shares, shares
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.outputs import check_outputs, ordered, roi_inputs, run_path, tissue_output
from wsi_nucssl.segment.plan import Plan, make_plan, narrowed
from wsi_nucssl.segment.plausibility import NucleusTally, doubts_after, doubts_before, sees_nuclei
from wsi_nucssl.segment.probabilities import ProbabilityStore, write_canvas
from wsi_nucssl.segment.reporting import Guarded, Report, Subject, near_in_blocks, report_again, report_path
from wsi_nucssl.segment.scope import Scope
from wsi_nucssl.segment.seam_figure import SeamFigure
from wsi_nucssl.segment.summary import (
    BLOCKS,
    KEPT,
    SUMMARY,
    WINDOWS,
    SegmentSummary,
    finished_summary,
    keep_summary,
)
from wsi_nucssl.slide import Canvas, Slide, TissueMask, open_slide, tissue_mask, write_tissue
from wsi_nucssl.slide.resolution import require_detail


@dataclass(frozen=True, slots=True)
class Steps:
    """What a run does at each step; whoever runs the steps otherwise, or watches them, gives others.

    Attributes
    ----------
    open_slide : callable
        Opens a slide: path, `reader`, `mpp`, `force_mpp`, `scene`, `focus`.
    tissue_mask : callable
        Finds its tissue: slide, and the way to find it.
    make_plan : callable
        Lays windows and blocks over it: canvas, tissue, `upscale`, `block_px`. The size of windows is its choice.
    open_engine : callable
        Opens an engine: model, device, engine, views.
    execute : Execute
        Predicts and extracts.
    exporter : callable
        The exporter of a format.
    at_once : int
        How many slides a batch does at a time: two where one slide's end would leave workers idle.
    report : Report, optional
        Reports on each slide; nobody does by default.
    """

    open_slide: Callable[..., Slide] = open_slide
    tissue_mask: Callable[[Slide, str], TissueMask] = tissue_mask
    make_plan: Callable[..., Plan] = make_plan
    open_engine: Callable[..., Engine] = open_engine
    execute: Execute = run_in_threads
    exporter: Callable[[str], Exporter] = EXPORTERS.get
    at_once: int = 1
    report: Report | None = None


def segment_slide(
    slide_path: str | Location,
    output: Path | Iterable[Path],
    model: Model,
    options: SegmentOptions,
    *,
    resume: bool = False,
    overwrite: bool = False,
    break_lock: bool = False,
    on_progress: OnProgress = lambda _: None,
    engine: Engine | None = None,
    steps: Steps | None = None,
) -> SegmentSummary:
    """Write the nuclei of one slide to `output`, a .geojson, .geojson.gz, .csv or several of them at once.

    Work goes on in a folder beside the output, its name and `.run`; when all is done, the manifest and the summary stay
    there. Of several outputs it is the first one's, in the order of `export.registry`.

    Parameters
    ----------
    slide_path : str or Location
        The slide.
    output : Path or iterable of Path
        Where the nuclei go, in the format that each name's ending says.
    model : Model
        Weights and what belongs to them.
    options : SegmentOptions
        Every choice there is.
    resume, overwrite : bool
        Go on with a run that was stopped; replace outputs and runs that are there.
    break_lock : bool
        Take the lock of a run from a process that does not live on this host.
    on_progress : OnProgress
        Is told again and again how far the slide is.
    engine : Engine, optional
        Spares setting one up for each of many slides; it must be that of `model` and `options`.
    steps : Steps, optional
        What the run does at each step.

    Raises
    ------
    UsageError
        An output's name has another ending, or both `resume` and `overwrite`.
    SlideError, MissingMpp
        The slide cannot be read, or does not say its mpp; or its result is doubtful, and `options.strict` is set: then
        no output appears, and the same command without it, resumed, finishes at once.
    OutputExists, OutputLocked, RunMismatch
        An output cannot be taken.
    ResourceError
        Disk or memory ran out.
    Stopped
        Ctrl-C or SIGTERM; resume to go on.
    """
    begun = perf_counter()
    steps = steps or Steps()
    formats = ordered([output] if isinstance(output, Path) else output)
    exporters = {path: steps.exporter(name) for path, name in formats.items()}
    run_folder = run_path(next(iter(exporters)))
    place = locate(slide_path)
    inputs = (place, model.path, *roi_inputs(options, place))
    check_outputs(exporters, run_folder, slide=place, resume=resume, overwrite=overwrite, inputs=inputs)
    page = report_path(next(iter(exporters)))
    report = page if steps.report else None
    if report:
        check_output(report, inputs=inputs, overwrite=overwrite, may_exist=resume)
    elif not (overwrite or resume):
        check_page(page)
    tissue_path = tissue_output(options, inputs, [*exporters], resume=resume, overwrite=overwrite)
    with steps.open_slide(
        slide_path,
        reader=options.reader,
        mpp=options.mpp,
        force_mpp=options.force_mpp,
        scene=options.scene,
        focus=options.focus,
    ) as slide:
        require_detail(slide, Mpp.square(model.info.input_mpp))
        engine = engine or steps.open_engine(model, options.device, options.engine, options.views)
        setup = _Setup.of(slide, model, options, engine, steps)
        left = Leftovers.of([*exporters], setup.manifest) if overwrite else None
        with (
            run_directory(
                run_folder,
                setup.manifest,
                resume=resume,
                overwrite=overwrite,
                keep=SUMMARY,
                break_lock=break_lock,
            ) as run,
            stop_requests() as stop,
        ):
            if left:
                left.note(run)
            left = left or Leftovers.noted(run, next(iter(exporters)))
            for path in (*exporters, *((report,) if report else ())):
                remove_partials(path.parent, path.name)
            if tissue_path and not (resume and tissue_path.exists()):
                tissue_path.parent.mkdir(parents=True, exist_ok=True)
                write_tissue(tissue_path, setup.scope.tissue, slide)
            summary = finished_summary(run, [*exporters])
            if summary is not None and options.strict:
                refuse_doubtful(summary.doubts, slide.path)
            told = report if report and (overwrite or not report.exists()) else None
            if summary is None:
                summary = _segment(setup, exporters, run, stop, steps, on_progress, begun, told)
            elif told and steps.report:
                summary = report_again(steps.report, setup.subject(told), summary)
            if left:
                hashes = [*summary.outputs.values()]
                summary = replace(summary, dropped=left.drop(run, page, hashes, break_lock=break_lock))
            _tidy(run)
            return summary


@dataclass(frozen=True, slots=True)
class _Setup:
    """A slide, what is to be done with it, and how it is cut."""

    slide: Slide
    model: Model
    options: SegmentOptions
    engine: Engine
    canvas: Canvas
    scope: Scope
    plan: Plan
    batch_size: int
    shares: Shares
    manifest: dict[str, Any]

    @classmethod
    def of(cls, slide: Slide, model: Model, options: SegmentOptions, engine: Engine, steps: Steps) -> _Setup:
        canvas = Canvas(slide, Mpp.square(model.info.input_mpp))
        tissue = steps.tissue_mask(slide, options.tissue)
        scope = Scope.of(slide, tissue, options)
        plan = steps.make_plan(canvas, tissue, upscale=engine.upscale, block_px=options.block_px)
        plan = narrowed(plan, scope.roi)
        batch_size = options.batch_size or default_batch_size(engine, plan.windows.input_shape)
        manifest = manifest_of(slide, model, options, engine.name, batch_size, plan, scope)
        shared = shares(options.memory, options.workers, engine, canvas, tissue, plan, model.info, batch_size)
        slide.hold_at_most(shared.tiles)
        return cls(slide, model, options, engine, canvas, scope, plan, batch_size, shared, manifest)

    def work(self, run: Path) -> SlideWork:
        """What there is to do in a run directory."""
        plan = self.plan
        return SlideWork(
            canvas=self.canvas,
            tissue=self.scope.tissue,
            plan=plan,
            engine=self.engine,
            config=self.model.info.instances,
            store=ProbabilityStore.resume(
                run / WINDOWS,
                plan.windows,
                plan.selected,
                self.model.info.schema,
                reserve=plan.reserve,
                recent=self.shares.recent,
            ),
            blocks=run / BLOCKS,
            batch_size=self.batch_size,
            views=self.shares.views,
        )

    def subject(self, report: Path) -> Subject:
        """What a report is of."""
        return Subject(report, self.slide, self.scope.seen, self.export_context(), self.plan.windows)

    def export_context(self) -> ExportContext:
        """What the nuclei stand for."""
        slide, info, plan = self.slide, self.model.info, self.plan
        corner = slide.bounds.origin if self.options.origin == "qupath" else plan.box.origin
        header = {
            **self.manifest,
            "slide_name": as_text(slide.path.name),
            "mpp_source": slide.mpp_source,
            "hematoxylin_mpp": info.input_mpp,
            "origin_l0": [corner.x, corner.y],
        }
        transform = CanvasTransform(
            plan.scale_x, plan.scale_y, corner.x, corner.y, slide.dimensions.width, slide.dimensions.height
        )
        return ExportContext(
            transform,
            Mpp.square(info.mpp),
            self.manifest["slide"],
            header,
            types=info.schema.types,
            extent=plan.extent,
            slide=slide.path if isinstance(slide.path, Path) else None,
        )


def _segment(
    setup: _Setup,
    exporters: dict[Path, Exporter],
    run: Path,
    stop: StopRequest,
    steps: Steps,
    on_progress: OnProgress,
    begun: float,
    report: Path | None,
) -> SegmentSummary:
    """Do all that is not done yet, stream all blocks into the outputs, and report on it where a report is wanted."""
    seams, tally, mm2, clock = SeamFigure(), NucleusTally(), setup.scope.mm2, Clock(begun)
    watch = Guarded(steps.report, setup.subject(report)) if steps.report and report else None
    chosen_of = setup.options.selection.of
    doubts = doubts_before(setup.slide, setup.scope, setup.model)
    work, progress = setup.work(run), SlideProgress()
    if setup.options.strict:
        refuse_doubtful(doubts, setup.slide.path)

    def counted(tables: Iterator[Nuclei]) -> Iterator[Nuclei]:
        nonlocal seams, doubts
        for table in clock.waited_for(tables):
            seams += SeamFigure.of(table, setup.plan.windows)
            tally.add(table)
            yield table
        doubts += doubts_after(tally, mm2, mpp, lambda: sees_nuclei(work.store, work.plan, work.config))
        if setup.options.strict:  # before the outputs take their names
            refuse_doubtful(doubts, setup.slide.path)

    mpp = Mpp.square(setup.model.info.mpp)
    running = steps.execute(work, progress, workers=setup.shares.workers, stop=stop, on_progress=on_progress)
    context = setup.export_context()
    with contextlib.closing(running) as tables:  # its threads end here, whatever happens
        chosen = chosen_of(counted(tables), context)
        nuclei = export(exporters, watch.seen(chosen) if watch else chosen, context)
    if setup.options.keep_probabilities:
        write_canvas(work.store, run / KEPT)
    summary = SegmentSummary(
        outputs={path: sha256_tree(path) for path in exporters},
        nuclei=nuclei,
        tissue_mm2=mm2,
        seconds=perf_counter() - begun,
        network_seconds=progress.network_seconds,
        seams=seams,
        median_um2=tally.median_px() * mpp.x * mpp.y,
        doubts=doubts,
        slide_px=(setup.slide.dimensions.width, setup.slide.dimensions.height),
        origin_l0=(context.transform.origin_x, context.transform.origin_y),
    )
    keep_summary(run, summary)
    if watch is None:
        return summary
    near = near_in_blocks(work, lambda tables: chosen_of(tables, context))
    return watch.write(summary, clock.stages(progress.network_seconds, perf_counter()), near)


def _tidy(run: Path) -> None:
    """Drop what only served resuming."""
    remove_tree(run / BLOCKS)
    remove_tree(run / WINDOWS)
