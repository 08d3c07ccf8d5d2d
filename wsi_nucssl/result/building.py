"""Results from nuclei of a run."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from wsi_nucssl.export.features import MEASUREMENT_NAMES, CanvasTransform, seed_ids
from wsi_nucssl.geometry import Box, Mpp, Point
from wsi_nucssl.nuclei.table import MEASUREMENTS, Nuclei
from wsi_nucssl.result.features import ExtractedFeatures
from wsi_nucssl.result.outlines import polygons_of
from wsi_nucssl.result.picture import Picture
from wsi_nucssl.result.result import Frame, Result

_UNITS: Final = {"area": "_um2", "perimeter": "_um", "major_axis": "_um", "minor_axis": "_um"}
COLUMNS: Final = {
    qupath: f"{name}{_UNITS.get(name, '')}"
    for qupath, name in zip(MEASUREMENT_NAMES, MEASUREMENTS, strict=True)
}
"""Columns of the table by the names of measurements in GeoJSON."""
TRUNCATED: Final = "truncated"
_DECIMALS: Final = 10**4


def from_nuclei(
    nuclei: Nuclei,
    *,
    region: Box,
    scale_x: float,
    scale_y: float,
    mpp: Mpp,
    answer_mpp: Mpp,
    origin: Point,
    identity: str,
    header: Mapping[str, Any],
    picture: Picture,
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
    identity : str
        What tells the slide from others: ids come from it.
    header : mapping of str to object
        Provenance.
    picture : Picture
        What lies under the nuclei.
    """
    frame = Frame(region, region.in_px_of(scale_x, scale_y), scale_x, scale_y, mpp, origin)
    transform = CanvasTransform(scale_x, scale_y, origin.x, origin.y)
    xy = transform.centi_px(nuclei.ring_xy) / 100 + np.array([origin.x, origin.y])
    ids = seed_ids(uuid.uuid5(uuid.NAMESPACE_URL, identity), nuclei.seed_xy)
    return Result(
        ids=np.array([str(uuid.UUID(bytes=each.tobytes())) for each in ids], dtype="U36"),
        polygons=polygons_of(xy, nuclei.ring_offsets, nuclei.polygon_offsets),
        measurements=_measured(nuclei, answer_mpp),
        frame=frame,
        header={
            **header,
            "origin_l0": [origin.x, origin.y],
            "region_l0": [*region.xywh],
            "scale_l0": [scale_x, scale_y],
        },
        picture=picture,
        _features=ExtractedFeatures(nuclei, transform, answer_mpp, identity),
    )


def _measured(nuclei: Nuclei, mpp: Mpp) -> dict[str, Any]:
    """The measurements as GeoJSON has them, by column."""
    factors = {"_um2": mpp.x * mpp.y, "_um": mpp.mean}
    columns: dict[str, Any] = {}
    for index, (name, column) in enumerate(zip(MEASUREMENTS, COLUMNS.values(), strict=True)):
        values = nuclei.measurements[:, index].astype(np.float64) * factors.get(_UNITS.get(name, ""), 1.0)
        columns[column] = np.rint(values * _DECIMALS) / _DECIMALS
    return {**columns, TRUNCATED: nuclei.truncated.copy()}
