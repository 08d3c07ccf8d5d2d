"""Segment a region of a slide, or an image, in memory: the nuclei that the whole slide's run would give there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from os import PathLike
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.checks import shown
from wsi_nucssl.engines.base import Engine, default_batch_size
from wsi_nucssl.engines.opening import as_engine
from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Mpp
from wsi_nucssl.grid import ORIGIN
from wsi_nucssl.locations import local
from wsi_nucssl.models.devices import Device
from wsi_nucssl.models.weights import Model, as_model
from wsi_nucssl.nuclei.seams import extract_block
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.result.building import from_nuclei
from wsi_nucssl.result.picture import SlidePicture
from wsi_nucssl.result.result import Result
from wsi_nucssl.segment.images import check_image
from wsi_nucssl.segment.in_memory import doubts_of, inside, provenance, segment_array
from wsi_nucssl.segment.on_demand import OnWindows, WindowsOnDemand
from wsi_nucssl.segment.options import Origin, SegmentOptions
from wsi_nucssl.segment.plan import HALO, MAX_HALO, Plan, make_plan, narrowed
from wsi_nucssl.segment.plausibility import doubts_before
from wsi_nucssl.segment.scope import Scope
from wsi_nucssl.slide import Canvas, Slide, identity, open_slide, tissue_mask
from wsi_nucssl.slide.base import is_slide
from wsi_nucssl.slide.resolution import require_detail

_DEFAULT: Final = SegmentOptions()


def segment(
    source: str | PathLike[str] | Slide | NDArray[np.uint8],
    *,
    region: Box | Sequence[int] | None = None,
    mpp: Mpp | float | None = _DEFAULT.mpp,
    force_mpp: bool = _DEFAULT.force_mpp,
    scene: str | int | None = _DEFAULT.scene,
    focus: int | None = _DEFAULT.focus,
    model: str | PathLike[str] | Model | None = None,
    device: Device = _DEFAULT.device,
    engine: str | Engine = _DEFAULT.engine,
    views: int = _DEFAULT.views,
    batch_size: int | None = _DEFAULT.batch_size,
    workers: int = _DEFAULT.workers,
    origin: Origin = _DEFAULT.origin,
    reader: str = _DEFAULT.reader,
    tissue: str = _DEFAULT.tissue,
    roi: str | PathLike[str] | None = None,
    roi_class: str | Sequence[str] = (),
    on_windows: OnWindows = lambda _: None,
) -> Result:
    """Find the nuclei of a slide, a region of it, or an image, in memory.

    The nuclei of a region are, to the last byte of their GeoJSON, those of `segment_slide` on the whole slide (with the
    same model, engine and batch size) whose *seed*, the first pixel of a nucleus's marker, lies in the region. So at
    the region's rim a nucleus is either there whole, beyond the rim if it reaches that far, or not there at all; two
    regions side by side share none and miss none. `Result.labels` alone is cut at the rim. Only the windows around the
    region are predicted. For whole slides on disk, `segment_slide` is resumable and needs less memory.

    Parameters
    ----------
    source : str, Path, Slide or ndarray
        A slide's file, an open slide, or an RGB image, uint8 (row, col, 3).
    region : Box or sequence of int, optional
        (x, y, width, height) in level-0 px, or px of the image; all of it by default.
    mpp : float or Mpp, optional
        µm per px of an image; of level 0 of a slide that does not say it.
    force_mpp : bool
        `mpp` goes before what the slide says, and an unusual resolution is not questioned.
    scene, focus : str or int, and int, optional
        Which scene of the slide's file, and which plane of a focus stack, as `open_slide` takes them.
    model : str, Path or Model, optional
        A bundled model's name, a weights file, a fine-tuning run, or what `load_model` gave; the default model if not
        given.
    device, engine : str
        What the network runs on; `engine` may also be what `open_engine` gave, which spares setting it up again for
        each of many calls.
    views : int
        Mirrored and rotated views to average over: 1, 2, 4 or 8.
    batch_size : int, optional
        Windows at a time; by default, chosen by device.
    workers : int
        Threads that read; they never change the result.
    origin : {"qupath", "level0"}
        What coordinates in GeoJSON count from: the slide's bounds, as QuPath's reader does, or its corner.
    reader : str
        Backend for a slide given by its path.
    tissue : str
        How tissue is found, as `tissue_mask` takes it: a name, or a GeoJSON file of annotations. Of an
        image, all is looked at.
    roi : str or Path, optional
        A GeoJSON file of annotations, as QuPath exports them, in px of level 0 or of the image: nuclei whose seeds'
        centres lie in them, and no others; with `region` too, those that lie in both. `Result.region` is then the box
        around them.
    roi_class : str or sequence of str
        Classes of annotations that count; all by default.
    on_windows : callable
        Is called with the number of windows predicted by now.

    Returns
    -------
    Result
        In the order of `segment_slide`.

    Raises
    ------
    SlideError, MissingMpp
        The slide cannot be read, does not say its mpp, says another than is given, or has px that would be enlarged
        more than three times.
    InputError
        The regions are none of this slide.
    UsageError
        The region holds no pixel of the slide, an image comes without `mpp` or with one outside 0.05 … 4, or an option
        is none.
    WeightsError
        There is no such model.

    Examples
    --------
    >>> import wsi_nucssl as wn
    >>> result = wn.segment("slide.svs", region=(1000, 2000, 1024, 1024))  # doctest: +SKIP
    >>> result.table.area_um2.mean()  # doctest: +SKIP
    """
    options = SegmentOptions(
        mpp=None if mpp is None else Mpp.parse_side(mpp),
        force_mpp=force_mpp,
        scene=scene,
        focus=focus,
        reader=reader,
        device=device,
        engine=engine if isinstance(engine, str) else "auto",
        views=views,
        batch_size=batch_size,
        workers=workers,
        origin=origin,
        tissue=tissue,
        roi=None if roi is None else local(roi, "roi"),
        roi_class=roi_class,
    )
    box = None if region is None else Box.parse(region)
    if isinstance(source, np.ndarray):
        check_image(source)
        _check_resolution(options.mpp)
    loaded = as_model(model)
    opened = as_engine(engine, loaded, device, views)
    if isinstance(source, np.ndarray):
        return segment_array(source, box, loaded, opened, options)
    with _opened(source, options) as slide:
        return _segment_slide(slide, box, loaded, opened, options, on_windows)


def _check_resolution(mpp: float | None) -> None:
    """An image's µm per px are there, and of a microscope."""
    if mpp is None:
        raise UsageError(
            "an image in memory has no resolution", remedy="Give ⟨mpp⟩, its µm per px, such as 0.25"
        )


def _opened(source: str | PathLike[str] | Slide, options: SegmentOptions) -> AbstractContextManager[Slide]:
    """The slide; one that is open stays the caller's to close."""
    if isinstance(source, str | PathLike):
        return open_slide(
            source,
            reader=options.reader,
            mpp=options.mpp,
            force_mpp=options.force_mpp,
            scene=options.scene,
            focus=options.focus,
        )
    if not is_slide(source):
        raise UsageError(
            f"⟨source⟩ is a slide's path, an open slide or an RGB image, not {shown(source)}",
            remedy="Make a picture an array with numpy.asarray",
        )
    for name in ("mpp", "scene", "focus"):
        if getattr(options, name) is not None:
            raise UsageError(
                f"⟨{name}⟩ is for slides that are opened here", remedy="Give it to open_slide instead"
            )
    return nullcontext(source)


def _segment_slide(
    slide: Slide,
    region: Box | None,
    model: Model,
    engine: Engine,
    options: SegmentOptions,
    on_windows: OnWindows,
) -> Result:
    require_detail(slide, Mpp.square(model.info.input_mpp))
    canvas = Canvas(slide, Mpp.square(model.info.input_mpp))
    assert slide.mpp is not None  # the canvas has asked for it
    shown = inside(region, Box.at(ORIGIN, slide.dimensions))
    tissue = tissue_mask(slide, options.tissue)
    scope = Scope.of(slide, tissue, options)
    if scope.roi and region is None:
        shown = scope.roi.box.clip(shown)
    plan = narrowed(make_plan(canvas, tissue, upscale=engine.upscale), scope.roi)
    batch_size = options.batch_size or default_batch_size(engine, plan.windows.input_shape)
    windows = WindowsOnDemand(
        tissue.painted(canvas), plan, engine, batch_size, options.workers, on_windows, model.info.schema
    )
    core = shown.in_px_of(plan.scale_x, plan.scale_y).clip(plan.box)
    corner = slide.bounds.origin if options.origin == "qupath" else ORIGIN
    slide_identity = identity(slide)
    header = {
        "slide": slide_identity,
        "slide_name": slide.path.name,
        "slide_mpp": [slide.mpp.x, slide.mpp.y],
        "mpp_source": slide.mpp_source,
        **({"force_mpp": True} if slide.is_mpp_forced else {}),
        **slide.part.record(),
        "reader": slide.reader,
        **provenance(model, engine, batch_size),
        "origin": options.origin,
        **scope.record(),
    }
    nuclei = Nuclei.concatenate(_blocks(windows, plan, core, model))
    result = from_nuclei(
        nuclei,
        region=shown,
        scale_x=plan.scale_x,
        scale_y=plan.scale_y,
        mpp=slide.mpp,
        answer_mpp=Mpp.square(model.info.mpp),
        origin=corner,
        slide_size=slide.dimensions,
        identity=slide_identity,
        header=header,
        picture=SlidePicture.of(slide),
        types=model.info.schema.types,
    )
    return replace(
        result, doubts=(*doubts_before(slide, scope, model), *doubts_of(nuclei, model, scope.mm2_in(shown)))
    )


def _blocks(windows: WindowsOnDemand, plan: Plan, core: Box, model: Model) -> Iterator[Nuclei]:
    """The nuclei seeded in `core`, block by block in the order of a slide's run."""
    for block in plan.active:
        part = block.core.clip(core)
        if part.is_empty:
            continue
        windows.forget_above(part.y0 - MAX_HALO)
        yield extract_block(
            windows.read,
            part,
            plan.box,
            model.info.instances,
            halo=HALO,
            max_halo=MAX_HALO,
            part=plan.part_of(block),
        )
