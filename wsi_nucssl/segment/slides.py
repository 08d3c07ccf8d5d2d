"""Segment many slides, one after another, with one engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from wsi_nucssl.batch import Batch, BatchStart, Outcome, versions_of
from wsi_nucssl.cohort import OnFailure, for_each_slide
from wsi_nucssl.engines.base import Engine
from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.registry import format_of
from wsi_nucssl.files import safe_stem
from wsi_nucssl.ledger import Ledger
from wsi_nucssl.locations import Location
from wsi_nucssl.models.weights import Model
from wsi_nucssl.outputs import Inputs, check_output
from wsi_nucssl.runs import beside_of
from wsi_nucssl.segment.executor import OnProgress
from wsi_nucssl.segment.leftovers import named_alike
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.outputs import ordered, outputs, run_path
from wsi_nucssl.segment.reporting import report_path
from wsi_nucssl.segment.run import Steps, segment_slide
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.slide.annotation_files import rois_by_place
from wsi_nucssl.slide.sharding import Shard, split_off
from wsi_nucssl.slide.tissue_files import check_tissue, tissues_by_place
from wsi_nucssl.slide_list import ListedSlide, names_of
from wsi_nucssl.staging import Stage


def segment_slides(
    targets: Mapping[Location, Path | Iterable[Path]],
    model: Model,
    options: SegmentOptions,
    *,
    mpps: Mapping[Location, float] = MappingProxyType({}),
    resume: bool = False,
    overwrite: bool = False,
    break_lock: bool = False,
    on_slide: Callable[[Location], OnProgress],
    on_summary: Callable[[Location, SegmentSummary], None],
    on_failure: OnFailure,
    steps: Steps | None = None,
    names: Mapping[Location, str] = MappingProxyType({}),
    batch: Batch | None = None,
    on_start: Callable[[BatchStart], None] = lambda _: None,
    stage: Stage | None = None,
) -> None:
    """Segment each slide into its outputs. A slide that fails is reported, and the others go on.

    Parameters
    ----------
    targets : mapping of Location to Path or iterable of Path
        Each slide and where its nuclei go, as `segment_slide` takes it; `segment.outputs.outputs` makes them.
    model : Model
        Weights and what belongs to them.
    options : SegmentOptions
        Every choice there is.
    mpps : mapping of Location to float
        µm per level-0 px of slides that do not say it, before `options.mpp`.
    resume, overwrite : bool
        Go on with runs that were stopped; replace outputs and runs that are there.
    break_lock : bool
        Take the lock of runs from a process that does not live on this host.
    on_slide : callable
        Is told when a slide begins; returns what is told of its progress.
    on_summary, on_failure : callable
        Are told when a slide is done, and when it failed.
    steps : Steps, optional
        What a run does at each step.
    names : mapping of Location to str
        The place of each slide's outputs, without an ending, where that is not its stem: files of tissue and of regions
        lie likewise.
    batch : Batch, optional
        Which of the slides are to be done, and what becomes of them.
    on_start : callable
        Is told what there is to do, before the first slide.
    stage : Stage, optional
        Brings outputs to the URL where they belong.

    Raises
    ------
    SomeSlidesFailed
        At the end, naming every slide that failed (a lone slide's own error instead).
    UsageError
        At once, if there is no file of regions for a slide, or none of tissue.
    OutputError
        At once, if an output is one of the slides, or no file of ours.
    UsageError
        At once, if a format is not for one of the slides, or needs a package that is missing.
    Stopped, ResourceError
        At once; what was done is kept.
    """
    steps = steps or Steps()
    inputs = Inputs(targets)
    for slide, paths in targets.items():
        for path, name in ordered([paths] if isinstance(paths, Path) else paths).items():
            steps.exporter(name).check(slide)
            check_output(path, inputs=inputs, may_exist=True, is_folder=path.is_dir())
    check_tissue(targets, options.tissue, options.write_tissue)
    places = {slide: names.get(slide) or safe_stem(slide) for slide in targets}
    rois = rois_by_place(options.roi, places)
    batch = batch or Batch(first_outputs(targets))
    start = batch.start()
    on_start(start)
    if not start.slides:
        return
    tissues = tissues_by_place(options.tissue, places)
    engine = steps.open_engine(model, options.device, options.engine, options.views)
    versions = _versions(model, engine)

    def segment_one(slide: Location) -> None:
        paths = held_paths(targets[slide], replaces=overwrite or resume)

        def work() -> SegmentSummary:
            with stage.holding(paths, break_lock=break_lock) if stage else nullcontext():
                return segmented()

        def segmented() -> SegmentSummary:
            return segment_slide(
                slide,
                targets[slide],
                model,
                replace(
                    options,
                    mpp=mpps.get(slide, options.mpp),
                    tissue=tissues[slide],
                    roi=rois[slide],
                    write_tissue=_placed(options.write_tissue, places[slide]),
                ),
                resume=resume,
                overwrite=overwrite,
                break_lock=break_lock,
                on_progress=on_slide(slide),
                engine=engine,
                steps=steps,
            )

        on_summary(slide, batch.keep(slide, work, _outcome, versions))
        if stage:
            stage.clear(paths)

    for_each_slide(start.slides, segment_one, on_failure, is_lone=batch.is_lone, at_once=steps.at_once)


def segment_batch(
    listed: Sequence[ListedSlide],
    output: Path,
    formats: Sequence[str] = (),
    *,
    shard: str | Shard | None = None,
    retry_failed: bool = False,
    resume: bool = False,
    options: SegmentOptions,
    stage: Stage | None = None,
) -> tuple[dict[Location, tuple[Path, ...]], Batch]:
    """The outputs of slides, and the batch that follows them, with a ledger if `output` is a folder.

    Parameters
    ----------
    listed : sequence of ListedSlide
        All slides of the batch, as `gather_slides` gives them.
    output : Path
        A file for one slide, else a folder.
    formats : sequence of str
        Names of formats.
    shard : str or Shard, optional
        Only the slides of this part, such as "2/8".
    retry_failed : bool
        Only slides that the ledger says failed.
    resume : bool
        Slides that were done are kept.
    options : SegmentOptions
        How slides are opened.
    stage : Stage, optional
        Where `output` lies, if it belongs to a URL.

    Raises
    ------
    UsageError
        Outputs would have one name, `output` is a file where a folder is needed, or there is no such shard.
    """
    if format_of(output) and (shard or retry_failed):
        raise UsageError("a batch goes into a folder", path=output, remedy="Give a folder as ⟨output⟩")
    targets = outputs([each.slide for each in listed], output, formats, names_of(listed))
    mine, others = split_off(listed, shard, output, reader=options.reader, mpp=options.mpp)
    firsts = first_outputs(targets)
    batch = Batch(
        {each.slide: firsts[each.slide] for each in mine},
        None if format_of(output) else stage.ledger() if stage else Ledger(output),
        others={each.slide: firsts[each.slide] for each in others},
        retry_failed=retry_failed,
        keeps_done=resume,
        exists=stage.exists if stage else Path.exists,
    )
    return {each.slide: targets[each.slide] for each in mine}, batch


def first_outputs(targets: Mapping[Location, Path | Iterable[Path]]) -> dict[Location, Path]:
    """The first output of each slide, in the order of the formats: what a ledger knows the slide by."""
    return {
        slide: given if isinstance(given, Path) else next(iter(ordered(given)))
        for slide, given in targets.items()
    }


def held_paths(outputs: Path | Iterable[Path], *, replaces: bool = False) -> tuple[Path, ...]:
    """All that a run of a slide leaves, the first output first, and all that may go if it replaces others."""
    paths = (outputs,) if isinstance(outputs, Path) else tuple(ordered(outputs))
    run = run_path(paths[0])
    others = [path for path in named_alike(paths[0]) if path not in paths] if replaces else []
    runs = [run_path(path) for path in named_alike(paths[0]) if run_path(path) != run] if replaces else []
    return (*paths, report_path(paths[0]), run, beside_of(run), *others, *runs)


def _placed(path: Path | None, name: str) -> Path | None:
    """A slide's own file in a folder that takes one of each."""
    return path if path is None or path.is_file() or path.suffix == ".geojson" else path / f"{name}.geojson"


def _outcome(summary: SegmentSummary) -> Outcome:
    return Outcome(
        seconds=round(summary.seconds, 2),
        nuclei=summary.nuclei,
        per_mm2=round(summary.per_mm2, 1),
        tissue_mm2=round(summary.tissue_mm2, 4),
        warnings=" ".join(map(str, summary.doubts)),
        sha256=summary.sha256,
        earlier=summary.earlier,
    )


def _versions(model: Model, engine: Engine) -> str:
    libraries = versions_of("numpy", "openvino", "torch", "zarr")
    return f"{libraries}; {model.info.name} {model.sha256[:8]}; {engine.name}"
