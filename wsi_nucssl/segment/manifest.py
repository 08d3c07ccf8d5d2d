"""Everything that decides a run's outputs: what it is resumed by, and what its outputs' headers say."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from wsi_nucssl._version import __version__
from wsi_nucssl.models.weights import Model
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.plan import HALO, MAX_HALO, Plan
from wsi_nucssl.segment.scope import Scope
from wsi_nucssl.slide import Slide, identity


def manifest_of(
    slide: Slide,
    model: Model,
    options: SegmentOptions,
    engine: str,
    batch_size: int,
    plan: Plan,
    scope: Scope,
) -> dict[str, Any]:
    """Everything that decides the outputs' bytes, as JSON values.

    Parameters
    ----------
    slide : Slide
        An open slide that knows its mpp.
    model : Model
        What predicts.
    options : SegmentOptions
        Every choice there is.
    engine : str
        The engine's name.
    batch_size : int
        Windows at a time.
    plan : Plan
        Windows and blocks.
    scope : Scope
        What of the slide is looked at.
    """
    fill = scope.tissue.fill
    assert slide.mpp is not None  # the canvas has asked for it
    return {
        "kind": "segment",
        "version": __version__,
        "slide": identity(slide),
        "slide_mpp": [slide.mpp.x, slide.mpp.y],
        **({"force_mpp": True} if slide.is_mpp_forced else {}),
        **slide.part.record(),
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
        **options.selection.header(),
        **({"types": schema.types_header()} if (schema := model.info.schema).types else {}),
        **scope.record(),
        **({"fill": fill.colours.tolist()} if fill and len(fill.colours) else {}),
    }
