"""Segment slides: pixels in, a file of nuclei out, resumable anywhere between."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from wsi_nucssl._version import __version__
from wsi_nucssl.batch import OnFailure, for_each_slide, outputs_in
from wsi_nucssl.engines.base import Engine, default_batch_size
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.errors import OutputExists, UsageError
from wsi_nucssl.export.features import CanvasTransform
from wsi_nucssl.export.geojson import SUFFIXES, write_geojson
from wsi_nucssl.files import remove_partials, remove_tree, sha256_file, write_atomic
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.locations import Location
from wsi_nucssl.models.weights import Model
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.runs import run_directory, stop_requests
from wsi_nucssl.segment.options import Format, SegmentOptions
from wsi_nucssl.segment.pipeline import OnProgress, Pipeline
from wsi_nucssl.segment.plan import HALO, MAX_HALO, Plan, make_plan
from wsi_nucssl.segment.probabilities import ProbabilityStore, write_canvas
from wsi_nucssl.segment.seam_figure import SeamFigure
from wsi_nucssl.slide import Canvas, Slide, identity, open_slide, tissue_mask

_SUMMARY: Final = "summary.json"
_STORE: Final = "windows.zarr"
_KEPT: Final = "probabilities.zarr"
_BLOCKS: Final = "blocks"


@dataclass(frozen=True, slots=True)
class SegmentSummary:
    """What segmenting a slide came to.

    Attributes
    ----------
    output, sha256 : the file and its hash.
    nuclei : how many.
    tissue_mm2 : area of the tissue mask.
    seconds, network_seconds : of this process: wall time of the slide, and within it of the network alone.
    seams : traces of the grid in the result.
    """

    output: Path
    sha256: str
    nuclei: int
    tissue_mm2: float
    seconds: float
    network_seconds: float
    seams: SeamFigure

    @property
    def per_mm2(self) -> float:
        """Nuclei per mm² of tissue."""
        return self.nuclei / self.tissue_mm2 if self.tissue_mm2 else 0.0


def run_path(output: Path) -> Path:
    """The run directory that belongs to an output file: what is resumed, and later the output's provenance."""
    return output.with_name(f"{output.name}.run")


def segment_slide(
    slide_path: str | Location,
    output: Path,
    model: Model,
    options: SegmentOptions,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = lambda _: None,
    engine: Engine | None = None,
) -> SegmentSummary:
    """Write the nuclei of one slide to `output`, a .geojson or .geojson.gz.

    Work goes on in `output`.run beside it; when all is done, the manifest and the summary stay there. `engine` spares
    setting one up for each of many slides; it must be that of `model` and `options`.

    Raises
    ------
    UsageError : the output's name has another ending, or both `resume` and `overwrite`.
    SlideError, MissingMpp : the slide cannot be read, or does not say its mpp.
    OutputExists, OutputLocked, RunMismatch : the output cannot be taken.
    ResourceError : disk or memory ran out.
    Stopped : Ctrl-C or SIGTERM; resume to go on.
    """
    begun = perf_counter()
    _check_output(output, resume=resume, overwrite=overwrite)
    with open_slide(slide_path, reader=options.reader, mpp=options.mpp) as slide:
        engine = engine or open_engine(model, options.device, options.engine, options.views)
        canvas = Canvas(slide, Mpp.square(model.info.input_mpp))
        tissue = tissue_mask(slide)
        plan = make_plan(canvas, tissue, upscale=engine.upscale, block_px=options.block_px)
        batch_size = options.batch_size or default_batch_size(engine, plan.windows.input_shape)
        manifest = _manifest(slide, model, options, engine.name, batch_size, plan)
        with (
            run_directory(run_path(output), manifest, resume=resume, overwrite=overwrite) as run,
            stop_requests() as stop,
        ):
            remove_partials(output.parent, output.name)
            finished = _finished(run, output)
            if finished is not None:
                _tidy(run)
                return finished
            pipeline = Pipeline(
                canvas=canvas,
                plan=plan,
                engine=engine,
                config=model.info.instances,
                store=ProbabilityStore.resume(run / _STORE, plan),
                blocks=run / _BLOCKS,
                batch_size=batch_size,
                workers=options.workers,
                stop=stop,
                on_progress=on_progress,
            )
            nuclei, seams = _export(pipeline, slide, model, options, manifest, output)
            if options.keep_probabilities:
                write_canvas(pipeline.store, plan, run / _KEPT)
            summary = SegmentSummary(
                output=output,
                sha256=sha256_file(output),
                nuclei=nuclei,
                tissue_mm2=tissue.area_mm2 or 0.0,
                seconds=perf_counter() - begun,
                network_seconds=pipeline.progress.network_seconds,
                seams=seams,
            )
            _keep(run, summary)
            _tidy(run)
            return summary


def _check_output(output: Path, *, resume: bool, overwrite: bool) -> None:
    if not output.name.endswith(SUFFIXES):
        raise _unknown_ending(output)
    if output.is_dir():
        raise OutputExists("a folder has the output's name", path=output, remedy="Choose another output")
    if not output.exists() or overwrite:
        return
    if not resume:
        raise OutputExists(
            "the output is there already",
            path=output,
            remedy="Add ⟨overwrite⟩, or ⟨resume⟩ to keep finished slides",
        )
    if not run_path(output).is_dir():
        raise OutputExists(
            "the output is there, but not the run that made it",
            path=output,
            remedy="Add ⟨overwrite⟩ to replace it, or choose another output",
        )


def _unknown_ending(output: Path) -> UsageError:
    return UsageError(
        "the output must end in .geojson or .geojson.gz", path=output, remedy="Rename it, or give a folder"
    )


def _manifest(
    slide: Slide, model: Model, options: SegmentOptions, engine: str, batch_size: int, plan: Plan
) -> dict[str, Any]:
    """Everything that decides the output's bytes."""
    assert slide.mpp is not None  # the canvas has asked for it
    return {
        "kind": "segment",
        "version": __version__,
        "slide": identity(slide),
        "slide_mpp": [slide.mpp.x, slide.mpp.y],
        "reader": slide.reader,
        "model": model.info.name,
        "model_sha256": model.sha256,
        "model_mpp": model.info.mpp,
        "input_mpp": model.info.input_mpp,
        "instances": asdict(model.info.instances),
        "engine": engine,
        "batch_size": batch_size,
        "window_px": [*plan.windows.shape.shape_rc],
        "margin_px": plan.windows.margin,
        "blend_px": plan.windows.blend,
        "block_px": [*plan.blocks.tile.shape_rc],
        "halo_px": [HALO, MAX_HALO],
        "origin": options.origin,
    }


def _finished(run: Path, output: Path) -> SegmentSummary | None:
    """The summary of a run whose output is there; None if there is still something to do.

    Raises
    ------
    OutputExists : the output is no longer what the run wrote.
    """
    try:
        kept = json.loads((run / _SUMMARY).read_text())
    except (FileNotFoundError, ValueError):
        return None
    if not output.exists():
        return None
    if sha256_file(output) != kept["sha256"]:
        raise OutputExists(
            "the output was changed after it was finished",
            path=output,
            remedy="Add ⟨overwrite⟩ to replace it, or choose another output",
        )
    return SegmentSummary(**{**kept, "output": output, "seams": SeamFigure(**kept["seams"])})


def _export(
    pipeline: Pipeline,
    slide: Slide,
    model: Model,
    options: SegmentOptions,
    manifest: dict[str, Any],
    output: Path,
) -> tuple[int, SeamFigure]:
    """Stream all blocks into the output; returns the number of nuclei and the seam figure."""
    seams = SeamFigure()

    def counted(tables: Iterator[Nuclei]) -> Iterator[Nuclei]:
        nonlocal seams
        for table in tables:
            seams += SeamFigure.of(table, plan.windows)
            yield table

    plan = pipeline.plan
    corner = slide.bounds.origin if options.origin == "qupath" else plan.box.origin
    header = {
        **manifest,
        "slide_name": slide.path.name,
        "mpp_source": slide.mpp_source,
        "hematoxylin_mpp": model.info.input_mpp,
        "origin_l0": [corner.x, corner.y],
    }
    with contextlib.closing(pipeline.tables()) as tables:  # its threads end here, whatever happens
        count = write_geojson(
            output,
            counted(tables),
            CanvasTransform(plan.scale_x, plan.scale_y, corner.x, corner.y),
            mpp=Mpp.square(model.info.mpp),
            identity=manifest["slide"],
            header=header,
        )
    return count, seams


def _keep(run: Path, summary: SegmentSummary) -> None:
    """Write the summary, which says that the run is finished."""
    write_atomic(run / _SUMMARY, json.dumps({**asdict(summary), "output": summary.output.name}, indent=2))


def _tidy(run: Path) -> None:
    """Drop what only served resuming."""
    remove_tree(run / _BLOCKS)
    remove_tree(run / _STORE)


def outputs(
    slides: Sequence[Location], destination: Path, file_format: Format | None
) -> dict[Location, Path]:
    """Each slide's output: `destination` itself for one slide and a file name, else a file in the folder `destination`.

    Raises
    ------
    UsageError : several slides and one file, two slides of one name, another file ending, or a format that contradicts
        the file name.
    """
    if destination.name.endswith(SUFFIXES):
        if len(slides) != 1:
            raise UsageError(
                f"{len(slides)} slides cannot go into one file", path=destination, remedy="Give a folder"
            )
        if file_format and not destination.name.endswith("." + file_format):
            raise UsageError(
                f"⟨file_format⟩ {file_format} contradicts the file's name",
                path=destination,
                remedy="Drop ⟨file_format⟩",
            )
        return {slides[0]: destination}
    if destination.suffix in (".json", ".gz"):
        raise _unknown_ending(destination)
    return outputs_in(destination, slides, f".{file_format or 'geojson'}")


def segment_slides(
    targets: dict[Location, Path],
    model: Model,
    options: SegmentOptions,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_slide: Callable[[Location], OnProgress],
    on_summary: Callable[[Location, SegmentSummary], None],
    on_failure: OnFailure,
) -> None:
    """Segment each slide into its file. A slide that fails is reported, and the others go on.

    Raises
    ------
    SomeSlidesFailed : at the end, naming every slide that failed (a lone slide's own error instead).
    Stopped, ResourceError : at once; what was done is kept.
    """
    engine = open_engine(model, options.device, options.engine, options.views)

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
        )
        on_summary(slide, summary)

    for_each_slide(targets, segment_one, on_failure)
