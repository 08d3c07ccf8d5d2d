"""Segment many slides, one after another, with one engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from wsi_nucssl._version import __version__
from wsi_nucssl.cohort import OnFailure, for_each_slide
from wsi_nucssl.errors import OutputError, Stopped, WsiNucsslError, spelled
from wsi_nucssl.ledger import Ledger
from wsi_nucssl.locations import Location
from wsi_nucssl.models.weights import Model
from wsi_nucssl.outputs import check_output
from wsi_nucssl.segment.executor import OnProgress
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.outputs import ordered
from wsi_nucssl.segment.run import Steps, segment_slide
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.slide.tissue_files import check_tissue


def segment_slides(
    targets: Mapping[Location, Path | Iterable[Path]],
    model: Model,
    options: SegmentOptions,
    *,
    mpps: Mapping[Location, float] = MappingProxyType({}),
    resume: bool = False,
    overwrite: bool = False,
    on_slide: Callable[[Location], OnProgress],
    on_summary: Callable[[Location, SegmentSummary], None],
    on_failure: OnFailure,
    steps: Steps | None = None,
    ledger: Ledger | None = None,
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
    on_slide : callable
        Is told when a slide begins; returns what is told of its progress.
    on_summary, on_failure : callable
        Are told when a slide is done, and when it failed.
    steps : Steps, optional
        What a run does at each step.
    ledger : Ledger, optional
        Is kept of what becomes of each slide.

    Raises
    ------
    SomeSlidesFailed
        At the end, naming every slide that failed (a lone slide's own error instead).
    OutputError
        At once, if an output is one of the slides, or no file of ours.
    Stopped, ResourceError
        At once; what was done is kept.
    """
    steps = steps or Steps()
    for paths in targets.values():
        for path in (paths,) if isinstance(paths, Path) else paths:
            check_output(path, inputs=targets, may_exist=True, is_folder=path.is_dir())
    check_tissue(targets, options.tissue, options.write_tissue)
    book = _Book.of(ledger, targets)
    engine = steps.open_engine(model, options.device, options.engine, options.views)

    def segment_one(slide: Location) -> None:
        def work() -> SegmentSummary:
            return segment_slide(
                slide,
                targets[slide],
                model,
                replace(options, mpp=mpps.get(slide, options.mpp)),
                resume=resume,
                overwrite=overwrite,
                on_progress=on_slide(slide),
                engine=engine,
                steps=steps,
            )

        on_summary(slide, book.keep(slide, work))

    for_each_slide(targets, segment_one, on_failure, at_once=steps.at_once)


@dataclass(frozen=True, slots=True)
class _Book:
    """The entries of these slides in a ledger, if one is kept."""

    ledger: Ledger | None
    names: Mapping[Location, str]

    @classmethod
    def of(cls, ledger: Ledger | None, targets: Mapping[Location, Path | Iterable[Path]]) -> _Book:
        """Enter all slides."""
        if ledger is None:
            return cls(None, {})
        firsts = {
            slide: given if isinstance(given, Path) else next(iter(ordered(given)))
            for slide, given in targets.items()
        }
        names = {slide: os.path.relpath(first, ledger.folder) for slide, first in firsts.items()}
        ledger.enter((str(slide), name) for slide, name in names.items())
        return cls(ledger, names)

    def keep(self, slide: Location, job: Callable[[], SegmentSummary]) -> SegmentSummary:
        """Do a slide's work, and enter that it is begun and how it ends. One that was stopped goes on running there."""
        if self.ledger is None:
            return job()
        name = self.names[slide]
        before, row = self.ledger.begin(name, __version__)
        try:
            summary = job()
        except Stopped:
            raise
        except Exception as error:
            kept = before.state == "done" and isinstance(error, OutputError)  # it is there, and was spared
            what, remedy = _words(error)
            self.ledger.put(before if kept else replace(row, state="failed", error=what, remedy=remedy))
            raise
        if summary.earlier:
            row = replace(row, attempts=before.attempts, started=before.started)
        done = replace(
            row,
            state="done",
            seconds=round(summary.seconds, 2),
            nuclei=summary.nuclei,
            per_mm2=round(summary.per_mm2, 1),
            tissue_mm2=round(summary.tissue_mm2, 4),
            warnings=" ".join(map(str, summary.doubts)),
            sha256=summary.sha256,
        )
        self.ledger.put(done)
        return summary


def _words(error: Exception) -> tuple[str, str]:
    """Fault and remedy."""
    if isinstance(error, WsiNucsslError):
        return spelled(error.what), spelled(error.remedy or "")
    return f"this is a bug: {error!r}", "Report it with the slide"
