"""`segment_slide`: a slide's nuclei into a file, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsi_nucssl.export.selection import Selection
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.jobs.arguments import PathArgument, Paths, one_path, paths
from wsi_nucssl.models.devices import Device
from wsi_nucssl.segment.options import Origin, SegmentOptions

if TYPE_CHECKING:
    from wsi_nucssl.engines.base import Engine
    from wsi_nucssl.models.weights import Model
    from wsi_nucssl.segment.executor import OnProgress
    from wsi_nucssl.segment.summary import SegmentSummary

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
    origin: Origin = _DEFAULT.origin,
    reader: str = _DEFAULT.reader,
    keep_probabilities: bool = _DEFAULT.keep_probabilities,
    tissue: str = _DEFAULT.tissue,
    write_tissue: PathArgument | None = None,
    min_area_um2: float = 0.0,
    min_probability: float = 0.0,
    resume: bool = False,
    overwrite: bool = False,
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
    min_area_um2, min_probability : float
        Least area and least mean P(nucleus) of a nucleus that is written; all by default.
    resume, overwrite : bool
        Go on with a run that was stopped; replace what is there.
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
        origin=origin,
        keep_probabilities=keep_probabilities,
        selection=Selection(min_area_um2, min_probability),
        tissue=tissue,
        write_tissue=None if write_tissue is None else one_path("write_tissue", write_tissue),
    )
    place, outputs, loaded = locate(slide, "slide"), paths("output", output), as_model(model)
    return run(
        place,
        outputs,
        loaded,
        options,
        resume=resume,
        overwrite=overwrite,
        on_progress=on_progress,
        engine=None if isinstance(engine, str) else as_engine(engine, loaded, device, views),
    )
