"""GeoJSON as QuPath opens it, one Feature after another."""

from __future__ import annotations

import math
import uuid
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.errors import InputError
from wsi_nucssl.export.json_stream import ObjectStream
from wsi_nucssl.export.reading import NucleiFile
from wsi_nucssl.verification.claims import Claims
from wsi_nucssl.verification.fault import Tally
from wsi_nucssl.verification.outlines import Ids, OutlineChecks, Reach

_AT_A_TIME: Final = 512
_DAMAGE: Final = (OSError, EOFError, zlib.error, ValueError, RecursionError, InputError)


@dataclass(frozen=True, slots=True)
class Content:
    """What a file of nuclei holds.

    Attributes
    ----------
    nuclei : int
        How many.
    header : mapping
        What it says of its origin; empty where it says nothing.
    """

    nuclei: int = 0
    header: Mapping[str, Any] = field(default_factory=dict)


def look_at_geojson(path: Path, claims: Claims, tally: Tally) -> Content:
    """Go through a .geojson or .geojson.gz; memory does not grow with its length."""
    header: dict[str, Any] = {}
    features = None
    try:
        header = NucleiFile(path).header
        reach = Reach.of(header.get("origin_l0"), claims.size_of(header.get("slide")))
        features = _Features(OutlineChecks(tally, reach), ours=bool(header))
        stream = ObjectStream(path)
        for feature in stream:
            features.add(feature)
        features.end()
        kind = stream.envelope.get("type") if isinstance(stream.envelope, dict) else None
        if kind != "FeatureCollection" or not stream.listed:
            tally.note("collection", f"it is no FeatureCollection but {kind or 'a bare list'}")
    except _DAMAGE as error:
        what = error.what if isinstance(error, InputError) else str(error)
        seen = features.count if features else 0
        tally.note("damaged", f"it is cut off or damaged after {seen} features ({what})")
    return Content(features.count if features else 0, header)


class _Features:
    """Looks at Features. Coordinates become arrays at once, since Python's collector looks at lists again and again.

    Attributes
    ----------
    count : int
        How many there were.
    """

    def __init__(self, checks: OutlineChecks, *, ours: bool) -> None:
        self.checks, self.ours, self.count = checks, ours, 0
        self._ids = Ids()
        self._owners: list[str] = []
        self._polygons: list[list[NDArray[np.float64]]] = []

    def add(self, feature: Any) -> None:
        """The next Feature of the file."""
        self.count += 1
        name, tally = f"feature {self.count}", self.checks.tally
        fault = _refused(feature, ours=self.ours)
        if fault is not None:
            tally.note(fault[0], f"{name} {fault[1]}")
        if not isinstance(feature, dict):
            return
        if isinstance(feature.get("id"), str):
            self._ids.add(feature["id"])
        found = _polygons(feature.get("geometry"))
        if found is None or (self.ours and not found):
            tally.note("geometry", f"{name} has no polygon of finite points")
            return
        self._polygons += found
        self._owners += [name] * len(found)
        if len(self._owners) >= _AT_A_TIME:
            self._look()

    def _look(self) -> None:
        rings = [ring for polygon in self._polygons for ring in polygon]
        if rings:
            offsets = _offsets(map(len, rings)), _offsets(map(len, self._polygons))
            self.checks.add(self._owners, np.concatenate(rings), *offsets)
        self._owners, self._polygons = [], []

    def end(self) -> None:
        """There is no other."""
        self._look()
        self._ids.judge(self.checks.tally, "feature")


def _refused(feature: Any, *, ours: bool) -> tuple[str, str] | None:
    """What QuPath, or whoever knows our files, does not take of a Feature, its outline apart: kind and words."""
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        return "feature", "is no Feature"
    if ours and not _is_uuid(feature.get("id")):
        return "id", f"has no UUID but {feature.get('id')!r}"
    properties = feature.get("properties") or {}
    if not isinstance(properties, dict):
        return "feature", "has properties that are no object"
    if "name" in properties and properties["name"] is None:
        return "qupath", "has the name null, which QuPath does not read"
    if ours and properties.get("objectType") != "detection":
        return "qupath", f"is no detection but {properties.get('objectType')!r}"
    if (ours or "classification" in properties) and not _has_look(properties.get("classification")):
        return "qupath", "has a class without name and colour, which QuPath does not read"
    measured = properties.get("measurements", {})
    if isinstance(measured, dict) and not all(map(_is_finite, measured.values())):
        return "measurement", "has a measurement that is no finite number"
    return None


def _is_uuid(given: Any) -> bool:
    try:
        return bool(str(uuid.UUID(given)) == given)
    except (ValueError, AttributeError, TypeError):
        return False


def _has_look(given: Any) -> bool:
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        return False
    color = given.get("color")
    if color is None:
        return isinstance(given.get("colorRGB"), int)  # QuPath before 0.4
    return (
        isinstance(color, list)
        and len(color) == 3
        and all(type(each) is int and 0 <= each < 256 for each in color)
    )


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _polygons(geometry: Any) -> list[list[NDArray[np.float64]]] | None:
    """The polygons of a geometry as lists of rings; none of other geometries; None for what is none."""
    if not isinstance(geometry, dict):
        return None
    kind: Any = geometry.get("type")
    given: Any = geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        return [] if kind in ("Point", "MultiPoint", "LineString", "MultiLineString") else None
    try:
        found = [
            [np.asarray(ring, np.float64) for ring in polygon]
            for polygon in ([given] if kind == "Polygon" else given)
        ]
    except (ValueError, TypeError):
        return None
    rings = [ring for polygon in found for ring in polygon]
    if not found or not all(found) or not all(map(_is_ring, rings)):
        return None
    return [[ring[:, :2] for ring in polygon] for polygon in found]


def _is_ring(ring: NDArray[np.float64]) -> bool:
    return ring.ndim == 2 and len(ring) > 0 and ring.shape[1] >= 2 and bool(np.isfinite(ring).all())


def _offsets(lengths: Iterable[int]) -> NDArray[np.int64]:
    return np.append(0, np.cumsum([*lengths])).astype(np.int64)
