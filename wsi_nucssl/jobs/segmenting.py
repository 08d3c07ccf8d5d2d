"""`segment_slide` and `segment_slides`: nuclei of one slide into a file, of many into a folder, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from wsi_nucssl.cluster import TASK_S
from wsi_nucssl.export.selection import Selection
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.jobs.arguments import PathArgument, Paths, locations, one_path, paths, several, staged_outputs
from wsi_nucssl.jobs.clusters import steps_with, workers_of
from wsi_nucssl.jobs.reporting import with_report
from wsi_nucssl.memory import parse_bytes
from wsi_nucssl.models.devices import Device
from wsi_nucssl.segment.options import Origin, SegmentOptions

if TYPE_CHECKING:
    from distributed import Client

    from wsi_nucssl.batch import BatchResult, BatchStart
    from wsi_nucssl.cohort import OnFailure
    from wsi_nucssl.engines.base import Engine
    from wsi_nucssl.locations import Location
    from wsi_nucssl.models.weights import Model
    from wsi_nucssl.segment.executor import OnProgress
    from wsi_nucssl.segment.summary import SegmentSummary
    from wsi_nucssl.slide.sharding import Shard

_DEFAULT: Final = SegmentOptions()


def segment_slide(
    slide: PathArgument,
    output: Paths,
    *,
    model: PathArgument | Model | None = None,
    mpp: Mpp | float | None = _DEFAULT.mpp,
    force_mpp: bool = _DEFAULT.force_mpp,
    scene: str | int | None = _DEFAULT.scene,
    focus: int | None = _DEFAULT.focus,
    strict: bool = _DEFAULT.strict,
    device: Device = _DEFAULT.device,
    engine: str | Engine = _DEFAULT.engine,
    views: int = _DEFAULT.views,
    batch_size: int | None = _DEFAULT.batch_size,
    workers: int = _DEFAULT.workers,
    memory: str | int | None = _DEFAULT.memory,
    origin: Origin = _DEFAULT.origin,
    reader: str = _DEFAULT.reader,
    keep_probabilities: bool = _DEFAULT.keep_probabilities,
    tissue: str = _DEFAULT.tissue,
    write_tissue: PathArgument | None = None,
    roi: PathArgument | None = None,
    roi_class: str | Sequence[str] = (),
    min_area_um2: float = 0.0,
    min_probability: float = 0.0,
    report: bool = True,
    resume: bool = False,
    overwrite: bool = False,
    break_lock: bool = False,
    on_progress: OnProgress = lambda _: None,
) -> SegmentSummary:
    """Write the nuclei of one slide to a file, as `wsi-nucssl segment` does: resumable, in bounded memory.

    Parameters
    ----------
    slide : str or Path
        The slide's file.
    output : str, Path or sequence of them
        A file whose ending names a format, such as .geojson or .parquet, or several of them; work goes on in
        `output`.run beside the first.
    model : str, Path or Model, optional
        A bundled model's name, a weights file, a fine-tuning run, or what `load_model` gave.
    mpp : float or Mpp, optional
        µm per px of level 0, where the slide does not say it.
    force_mpp : bool
        `mpp` goes before what the slide says, and an unusual resolution is not questioned.
    scene, focus : str or int, and int, optional
        Which scene of the slide's file, and which plane of a focus stack, as `open_slide` takes them.
    strict : bool
        A doubtful result (`SegmentSummary.doubts`) is an error, and nothing is written.
    device : {"auto", "cpu", "cuda"}
        What the network runs on.
    engine : str or Engine
        How it runs: "auto", or a name of `wsi_nucssl.engines.registry.ENGINES`; what `open_engine` gave spares setting
        it up for each of many slides.
    views : int
        Mirrored and rotated views to average over: 1, 2, 4 or 8.
    batch_size : int, optional
        Windows at a time; by default, chosen by device.
    workers : int
        Threads that read, and as many that extract; they never change the result.
    memory : str or int, optional
        The most that this process may hold, such as "4G" or bytes; what is too little is refused with what is needed.
    origin : {"qupath", "level0"}
        What coordinates count from: the slide's bounds, as in QuPath, or its corner.
    reader : str
        Backend for the slide; "auto" chooses by content.
    keep_probabilities : bool
        Leave the probability zarr in the run directory.
    tissue : str
        How tissue is found, as `tissue_mask` takes it: a name, or a GeoJSON file of annotations.
    write_tissue : str or Path, optional
        A .geojson file for the tissue as annotations, to be corrected in QuPath.
    roi : str or Path, optional
        A GeoJSON file of annotations, as QuPath exports them: nuclei whose seeds' centres lie in them are looked for,
        and come out as those of the whole slide.
    roi_class : str or sequence of str
        Classes of annotations that count; all by default.
    min_area_um2, min_probability : float
        Least area and least mean P(nucleus) of a nucleus that is written; all by default.
    report : bool
        Write a page to look at beside the result, NAME.report.html.
    resume, overwrite : bool
        Go on with a run that was stopped; replace what is there.
    break_lock : bool
        Take the lock of a run from a process that does not live on this host.
    on_progress : callable
        Is told of progress.

    Returns
    -------
    SegmentSummary
        The file, how many nuclei, how long it took, and how well the seams do not show.

    Raises
    ------
    SlideError, MissingMpp
        The slide cannot be read, does not say its mpp, or says another than is given; with `strict`, its result is
        doubtful.
    InputError
        The regions are none of this slide.
    OutputExists, OutputLocked, RunMismatch
        The output cannot be taken.
    UsageError
        An option is none.

    Examples
    --------
    >>> import wsi_nucssl as wn
    >>> summary = wn.segment_slide("slide.svs", "nuclei.geojson")  # doctest: +SKIP
    >>> result = wn.read_nuclei(summary.output, slide="slide.svs")  # doctest: +SKIP
    """
    from wsi_nucssl.engines.opening import as_engine
    from wsi_nucssl.locations import locate
    from wsi_nucssl.models.weights import as_model
    from wsi_nucssl.segment.run import segment_slide as run

    options = SegmentOptions(
        mpp=None if mpp is None else Mpp.parse_side(mpp),
        force_mpp=force_mpp,
        scene=scene,
        focus=focus,
        strict=strict,
        reader=reader,
        device=device,
        engine=engine if isinstance(engine, str) else "auto",
        views=views,
        batch_size=batch_size,
        workers=workers,
        memory=None if memory is None else parse_bytes("memory", memory),
        origin=origin,
        keep_probabilities=keep_probabilities,
        selection=Selection(min_area_um2, min_probability),
        tissue=tissue,
        write_tissue=None if write_tissue is None else one_path("write_tissue", write_tissue),
        roi=None if roi is None else one_path("roi", roi),
        roi_class=roi_class,
    )
    place, outputs, loaded = locate(slide, "slide"), paths("output", output), as_model(model)
    return run(
        place,
        outputs,
        loaded,
        options,
        resume=resume,
        overwrite=overwrite,
        break_lock=break_lock,
        on_progress=on_progress,
        engine=None if isinstance(engine, str) else as_engine(engine, loaded, device, views),
        steps=with_report(None, wanted=report),
    )


def segment_slides(
    slides: Paths,
    output: PathArgument,
    *,
    slide_list: PathArgument | None = None,
    model: PathArgument | Model | None = None,
    mpp: float | None = _DEFAULT.mpp,
    force_mpp: bool = _DEFAULT.force_mpp,
    strict: bool = _DEFAULT.strict,
    device: Device = _DEFAULT.device,
    engine: str = _DEFAULT.engine,
    views: int = _DEFAULT.views,
    batch_size: int | None = _DEFAULT.batch_size,
    workers: int = _DEFAULT.workers,
    origin: Origin = _DEFAULT.origin,
    formats: str | Sequence[str] = (),
    reader: str = _DEFAULT.reader,
    scene: str | int | None = _DEFAULT.scene,
    focus: int | None = _DEFAULT.focus,
    keep_probabilities: bool = _DEFAULT.keep_probabilities,
    tissue: str = _DEFAULT.tissue,
    write_tissue: PathArgument | None = None,
    roi: PathArgument | None = None,
    roi_class: str | Sequence[str] = (),
    min_area_um2: float = 0.0,
    min_probability: float = 0.0,
    report: bool = True,
    shard: str | Shard | None = None,
    cluster: str | Client | None = None,
    task_s: float = TASK_S,
    retry_failed: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    break_lock: bool = False,
    on_start: Callable[[BatchStart], None] = lambda _: None,
    on_slide: Callable[[Location], OnProgress] = lambda _: lambda _: None,
    on_summary: Callable[[Location, SegmentSummary], None] = lambda *_: None,
    on_failure: OnFailure = lambda *_: None,
) -> BatchResult:
    """Write the nuclei of many slides into a folder, as `wsi-nucssl segment` does, with a ledger, `batch.csv`.

    Parameters
    ----------
    slides : str, Path or sequence of them
        Slides, or folders that are searched with all folders in them.
    output : str or Path
        A folder, or a URL such as s3:// (docs/cluster.md); outputs lie in it like the slides below the folder that is
        common to all.
    slide_list : str or Path, optional
        A list of more slides, as the command's `--slides` takes it.
    model : str, Path or Model, optional
        A bundled model's name, a weights file, a fine-tuning run, or what `load_model` gave.
    mpp : float, optional
        µm per px of level 0, where a slide does not say it.
    force_mpp : bool
        `mpp` goes before what slides say, and an unusual resolution is not questioned.
    strict : bool
        A slide whose result is doubtful fails, and nothing is written for it.
    device : {"auto", "cpu", "cuda"}
        What the network runs on.
    engine : str
        How it runs: "auto", or a name of `wsi_nucssl.engines.registry.ENGINES`.
    views : int
        Mirrored and rotated views to average over: 1, 2, 4 or 8.
    batch_size : int, optional
        Windows at a time; by default, chosen by device.
    workers : int
        Threads that read, and as many that extract; they never change the result.
    origin : {"qupath", "level0"}
        What coordinates count from: each slide's bounds, as in QuPath, or its corner.
    formats : str or sequence of str
        Names of formats, all written in one pass; GeoJSON by default.
    reader : str
        Backend for slides; "auto" chooses by content.
    scene, focus : str or int, and int, optional
        Which scene of each file, and which plane of a focus stack, as `open_slide` takes them.
    keep_probabilities : bool
        Leave the probability zarr in each run directory.
    tissue : str
        How tissue is found, as `tissue_mask` takes it: a name, or a folder of annotations that lie like the slides.
    write_tissue : str or Path, optional
        A folder for the tissue of each slide as annotations.
    roi : str or Path, optional
        A folder of annotations that lie like the slides, NAME.geojson: nuclei are looked for in them alone.
    roi_class : str or sequence of str
        Classes of annotations that count; all by default.
    min_area_um2, min_probability : float
        Least area and least mean P(nucleus) of a nucleus that is written; all by default.
    report : bool
        Write a page to look at beside each result, NAME.report.html, and one of them all, batch.report.html.
    shard : str or Shard, optional
        Such as "2/8": only this part of the slides, for jobs of an array.
    cluster : str or distributed.Client, optional
        Workers that do the work instead of threads of this process, with the same results: `local:4`, the address of a
        dask scheduler, its scheduler file, `slurm:8`, or a client, which stays open (docs/cluster.md). A script with
        `local:N` needs `if __name__ == "__main__":`, as worker processes import it.
    task_s : float
        Seconds after which a worker that has not ended a task counts as hung.
    retry_failed : bool
        Only slides that the ledger says failed.
    resume, overwrite : bool
        Go on with a batch that was stopped; replace what is there.
    break_lock : bool
        Take the lock of a run from a process that does not live on this host.
    on_start, on_slide, on_summary, on_failure : callable
        Are told what there is to do; when a slide begins (it returns what is told of its progress); when one is done;
        and when one failed.

    Returns
    -------
    BatchResult
        A row for each slide, as in the ledger, and as `table`.

    Raises
    ------
    SomeSlidesFailed
        At the end, with each slide that failed, its error and the remedy; a lone slide's own error instead.
    InputError
        The folders hold no slide.
    OutputError
        An output cannot be taken.
    UsageError
        An option is none, or a slide has no file in the folder of regions.

    Examples
    --------
    >>> import wsi_nucssl as wn
    >>> batch = wn.segment_slides("slides/", "results/", resume=True)  # doctest: +SKIP
    >>> batch.table.groupby("state").nuclei.sum()  # doctest: +SKIP
    """
    from wsi_nucssl.models.weights import as_model
    from wsi_nucssl.report.batch_report import batch_reported
    from wsi_nucssl.segment.slides import segment_batch
    from wsi_nucssl.segment.slides import segment_slides as run
    from wsi_nucssl.slide.inputs import gather_slides
    from wsi_nucssl.slide_list import mpp_of, names_of

    options = SegmentOptions(
        mpp=mpp,
        force_mpp=force_mpp,
        strict=strict,
        reader=reader,
        scene=scene,
        focus=focus,
        device=device,
        engine=engine,
        views=views,
        batch_size=batch_size,
        workers=workers,
        origin=origin,
        keep_probabilities=keep_probabilities,
        selection=Selection(min_area_um2, min_probability),
        tissue=tissue,
        write_tissue=None if write_tissue is None else one_path("write_tissue", write_tissue),
        roi=None if roi is None else one_path("roi", roi),
        roi_class=roi_class,
    )
    given = None if slide_list is None else one_path("slide_list", slide_list)
    listed = gather_slides(locations("slides", slides), given, force_mpp=force_mpp).slides
    resume = resume or (retry_failed and not overwrite)
    place, stage = staged_outputs(output)
    targets, batch = segment_batch(
        listed,
        place,
        several(formats),
        shard=shard,
        retry_failed=retry_failed,
        resume=resume,
        options=options,
        stage=stage,
    )
    with workers_of(cluster, task_s) as pool, batch_reported(batch, wanted=report, stage=stage):
        run(
            targets,
            as_model(model),
            options,
            mpps=mpp_of(listed),
            names=names_of(listed),
            resume=resume,
            overwrite=overwrite,
            break_lock=break_lock,
            batch=batch,
            stage=stage,
            on_start=on_start,
            on_slide=on_slide,
            on_summary=on_summary,
            on_failure=on_failure,
            steps=with_report(steps_with(pool, None, options), wanted=report),
        )
    return batch.result()
