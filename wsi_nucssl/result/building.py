"""Results from nuclei of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from wsi_nucssl.export.base import ExportContext
from wsi_nucssl.export.columns import COLUMNS, DECIMALS, TRUNCATED, TYPE, TYPE_PROBABILITY
from wsi_nucssl.export.ids import spelled_ids
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.geometry import Box, Mpp, Point, Size
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.result.features import ExtractedFeatures
from wsi_nucssl.result.outlines import polygons_of
from wsi_nucssl.result.picture import Picture
from wsi_nucssl.result.result import Frame, Result
from wsi_nucssl.schema import NucleusType


def from_nuclei(
    nuclei: Nuclei,
    *,
    region: Box,
    scale_x: float,
    scale_y: float,
    mpp: Mpp,
    answer_mpp: Mpp,
    origin: Point,
    slide_size: Size,
    identity: str,
    header: Mapping[str, Any],
    picture: Picture,
    types: tuple[NucleusType, ...] = (),
) -> Result:
    """The result that these nuclei are.

    Parameters
    ----------
    nuclei : Nuclei
        In px that the network answers at.
    region : Box
        What was looked at, in level-0 px.
    scale_x, scale_y : float
        Level-0 px per px that the network answers at.
    mpp, answer_mpp : Mpp
        µm per level-0 px, and per px that the network answers at.
    origin : Point
        Level-0 point that coordinates in files count from.
    slide_size : Size
        Of the slide in level-0 px, beyond which no vertex lies.
    identity : str
        What tells the slide from others: ids come from it.
    header : mapping of str to object
        Provenance.
    picture : Picture
        What lies under the nuclei.
    types : tuple of NucleusType
        Those that the model tells apart.
    """
    frame = Frame(region, region.in_px_of(scale_x, scale_y), scale_x, scale_y, mpp, origin)
    transform = CanvasTransform(scale_x, scale_y, origin.x, origin.y, slide_size.width, slide_size.height)
    context = ExportContext(transform, answer_mpp, identity, header, types=types)
    xy = transform.centi_px(nuclei.ring_xy) / 100 + np.array([origin.x, origin.y])
    return Result(
        ids=np.array(spelled_ids(context.ids(nuclei)), dtype="U36"),
        polygons=polygons_of(xy, nuclei.ring_offsets, nuclei.polygon_offsets),
        measurements=measured(nuclei, context),
        frame=frame,
        header={
            **header,
            "origin_l0": [origin.x, origin.y],
            "region_l0": [*region.xywh],
            "scale_l0": [scale_x, scale_y],
        },
        picture=picture,
        _features=ExtractedFeatures(nuclei, context),
    )


def measured(nuclei: Nuclei, context: ExportContext) -> dict[str, Any]:
    """The measurements as files have them, by column."""
    values = context.measured(nuclei) / 10**DECIMALS
    columns: dict[str, Any] = {column.name: values[:, index] for index, column in enumerate(COLUMNS)}
    columns[TRUNCATED.name] = nuclei.truncated.copy()
    if not context.types:
        return columns
    own = context.type_probability(nuclei) / 10**DECIMALS
    return {**columns, TYPE: np.array(context.type_names(nuclei), object), TYPE_PROBABILITY.name: own}
