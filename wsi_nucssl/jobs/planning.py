"""`plan_slides`: what segmenting slides would cost here, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsi_nucssl import checks
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.jobs.arguments import PathArgument, Paths, locations, one_path, several
from wsi_nucssl.models.devices import Device
from wsi_nucssl.segment.options import SegmentOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsi_nucssl.forecast.planning import Forecast, OnSlide
    from wsi_nucssl.models.weights import Model
    from wsi_nucssl.segment.run import Steps

_DEFAULT: Final = SegmentOptions()


def plan_slides(
    slides: Paths,
    *,
    model: PathArgument | Model | None = None,
    mpp: Mpp | float | None = _DEFAULT.mpp,
    force_mpp: bool = _DEFAULT.force_mpp,
    strict: bool = _DEFAULT.strict,
    device: Device = _DEFAULT.device,
    engine: str = _DEFAULT.engine,
    views: int = _DEFAULT.views,
    batch_size: int | None = _DEFAULT.batch_size,
    workers: int = _DEFAULT.workers,
    reader: str = _DEFAULT.reader,
    tissue: str = _DEFAULT.tissue,
    roi: PathArgument | None = None,
    roi_class: str | Sequence[str] = (),
    formats: str | Sequence[str] = ("geojson",),
    seconds: float = 6.0,
    on_slide: OnSlide = lambda _: None,
    steps: Steps | None = None,
) -> Forecast:
    """See what slides are, and what segmenting them would cost on this machine, as `wsi-nucssl plan` does.

    Parameters
    ----------
    slides : str, Path or sequence of them
        Slides, or folders of them.
    model : str, Path or Model, optional
        The weights, as `load_model` takes them.
    mpp : float or Mpp, optional
        µm per px of level 0, where slides do not say it.
    force_mpp : bool
        `mpp` goes before what slides say, and an unusual resolution is not questioned.
    strict : bool
        A slide that is doubtful cannot be segmented.
    device, engine, views, batch_size, workers, reader, tissue : optional
        As `segment_slide` takes them.
    roi, roi_class : optional
        As `segment_slides` takes them: only the windows that these regions need are counted.
    formats : str or sequence of str
        What would be written, by ending.
    seconds : float
        How long to measure this machine.
    on_slide : callable
        Is told of each slide once it has been looked at; its cost comes later.
    steps : Steps, optional
        What a run does at each step.

    Returns
    -------
    Forecast
        The slides, each with its cost or what stands in the way, and what they come to.

    Raises
    ------
    UsageError
        An option is none.
    WeightsError
        There is no such model.

    Examples
    --------
    >>> import wsi_nucssl as wn
    >>> forecast = wn.plan_slides("slides")  # doctest: +SKIP
    >>> forecast.seconds / 3600  # doctest: +SKIP
    """
    from wsi_nucssl.export.registry import in_order
    from wsi_nucssl.forecast.planning import plan_slides as run
    from wsi_nucssl.models.weights import as_model
    from wsi_nucssl.slide.inputs import gather_slides
    from wsi_nucssl.slide_list import names_of

    checks.within("seconds", seconds, 0, 3600)
    options = SegmentOptions(
        mpp=None if mpp is None else Mpp.parse_side(mpp),
        force_mpp=force_mpp,
        strict=strict,
        reader=reader,
        device=device,
        engine=engine,
        views=views,
        batch_size=batch_size,
        workers=workers,
        tissue=tissue,
        roi=None if roi is None else one_path("roi", roi),
        roi_class=roi_class,
    )
    names = [Path(f"{name}") for name in (f"slide.{each}" for each in in_order(several(formats)))]
    found = gather_slides([*locations("slides", slides)])
    return run(
        dict.fromkeys([each.slide for each in found.slides], names),
        as_model(model),
        options,
        seconds=seconds,
        names=names_of(found.slides),
        check=False,
        on_slide=on_slide,
        steps=steps,
    )
