"""Segment many slides, one after another, with one engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from wsi_nucssl.cohort import OnFailure, for_each_slide
from wsi_nucssl.locations import Location
from wsi_nucssl.models.weights import Model
from wsi_nucssl.segment.executor import OnProgress
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.run import Steps, segment_slide
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.segment.tissue_files import check_tissue


def segment_slides(
    targets: Mapping[Location, Path | Iterable[Path]],
    model: Model,
    options: SegmentOptions,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_slide: Callable[[Location], OnProgress],
    on_summary: Callable[[Location, SegmentSummary], None],
    on_failure: OnFailure,
    steps: Steps | None = None,
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
    resume, overwrite : bool
        Go on with runs that were stopped; replace outputs and runs that are there.
    on_slide : callable
        Is told when a slide begins; returns what is told of its progress.
    on_summary, on_failure : callable
        Are told when a slide is done, and when it failed.
    steps : Steps, optional
        What a run does at each step.

    Raises
    ------
    SomeSlidesFailed
        At the end, naming every slide that failed (a lone slide's own error instead).
    Stopped, ResourceError
        At once; what was done is kept.
    """
    steps = steps or Steps()
    check_tissue(options, targets)
    engine = steps.open_engine(model, options.device, options.engine, options.views)

    def segment_one(slide: Location) -> None:
        summary = segment_slide(
            slide,
            targets[slide],
            model,
            options,
            resume=resume,
            overwrite=overwrite,
            on_progress=on_slide(slide),
            engine=engine,
            steps=steps,
        )
        on_summary(slide, summary)

    for_each_slide(targets, segment_one, on_failure)
