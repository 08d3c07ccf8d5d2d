"""Nuclei of an image in memory, and what every result in memory has in common."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl._version import __version__
from wsi_nucssl.doubts import Doubt
from wsi_nucssl.engines.base import Engine
from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Mpp, Point, Size
from wsi_nucssl.grid import ORIGIN
from wsi_nucssl.models.weights import Model
from wsi_nucssl.nuclei.seams import Part, extract_block
from wsi_nucssl.nuclei.settings import Probabilities
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.result.building import from_nuclei
from wsi_nucssl.result.picture import ArrayPicture
from wsi_nucssl.result.result import Result
from wsi_nucssl.segment.images import predict_image
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.plan import HALO, MAX_HALO, SeedRule
from wsi_nucssl.segment.plausibility import NucleusTally, doubts_after
from wsi_nucssl.slide.resolution import check_enlargement
from wsi_nucssl.slide.roi import Roi
from wsi_nucssl.slide.roi_reading import read_roi


def segment_array(
    image: NDArray[np.uint8], region: Box | None, model: Model, engine: Engine, options: SegmentOptions
) -> Result:
    """The nuclei of an image, or a region of it."""
    assert options.mpp is not None
    if not options.force_mpp:
        check_enlargement(Mpp.square(options.mpp), Mpp.square(model.info.input_mpp))
    image = np.ascontiguousarray(image)
    mpp = Mpp.square(options.mpp)
    size = Size(image.shape[1], image.shape[0])
    roi = read_roi(options.roi, options.roi_class, size=size, mpp=mpp) if options.roi else None
    probabilities = predict_image(engine, image, scale=model.info.mpp / options.mpp)
    return result_of_image(image, probabilities, options.mpp, model, engine, region, roi)


def result_of_image(
    image: NDArray[np.uint8],
    probabilities: Probabilities,
    mpp: float,
    model: Model,
    engine: Engine,
    region: Box | None = None,
    roi: Roi | None = None,
) -> Result:
    """The nuclei of an image whose probabilities are there already.

    Parameters
    ----------
    image : ndarray of uint8
        RGB (row, col, 3).
    probabilities : Probabilities
        What `predict_image` gave for all of it, at the model's mpp.
    mpp : float
        µm per px of the image.
    model, engine : Model and Engine
        What predicted.
    region : Box, optional
        In px of the image; all of it by default.
    roi : Roi, optional
        Regions that nuclei are looked for in.
    """
    size = Size(image.shape[1], image.shape[0])
    shown = inside(region, Box.at(ORIGIN, size))
    if roi and region is None:
        shown = roi.box.clip(shown)
    scale = model.info.mpp / mpp
    extent = Box(0, 0, probabilities.shape[2], probabilities.shape[1])
    name = hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()
    nuclei = extract_block(
        lambda box: probabilities[:, *box.rc],
        shown.in_px_of(scale, scale).clip(extent),
        extent,
        model.info.instances,
        halo=HALO,
        max_halo=MAX_HALO,
        part=Part(extent, SeedRule(roi.rule, scale, scale)) if roi else None,
    )
    result = from_nuclei(
        nuclei,
        region=shown,
        scale_x=scale,
        scale_y=scale,
        mpp=Mpp.square(mpp),
        answer_mpp=Mpp.square(model.info.mpp),
        origin=Point(0, 0),
        slide_size=size,
        identity=name,
        header={
            "slide": name,
            "slide_mpp": [mpp] * 2,
            **provenance(model, engine, 1),
            **(roi.record() if roi else {}),
        },
        picture=ArrayPicture(image),
        types=model.info.schema.types,
    )
    return replace(result, doubts=(*model.doubts, *doubts_of(nuclei, model)))


def doubts_of(nuclei: Nuclei, model: Model, mm2: float = 0.0) -> tuple[Doubt, ...]:
    """What is implausible about nuclei, in `mm2` of tissue."""
    tally = NucleusTally()
    tally.add(nuclei)
    return doubts_after(tally, mm2, Mpp.square(model.info.mpp))


def inside(region: Box | None, whole: Box) -> Box:
    """The part of a region that is there; all if none is given.

    Raises
    ------
    UsageError
        Nothing of it is there.
    """
    if region is None:
        return whole
    if not region.overlaps(whole):
        raise UsageError(f"⟨region⟩ {region} lies outside the slide or image, which is {whole}")
    return region.clip(whole)


def provenance(model: Model, engine: Engine, batch_size: int) -> dict[str, Any]:
    """What a result's header says of how it was made."""
    info = model.info
    return {
        "kind": "segment",
        "version": __version__,
        "model": info.name,
        "model_sha256": model.sha256,
        "model_mpp": info.mpp,
        "input_mpp": info.input_mpp,
        "hematoxylin_mpp": info.input_mpp,
        "instances": asdict(info.instances),
        "engine": engine.name,
        "batch_size": batch_size,
        **({"types": info.schema.types_header()} if info.schema.types else {}),
    }
