"""What a Feature of anybody's is: a nucleus, several of them, or something that holds nuclei."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NO_NUCLEI: Final = frozenset({"tile", "tma_core", "tmacore", "root"})
_RED: Final = (200, 0, 0)

Ring = NDArray[np.float64]
"""(n, 2) as (x, y)."""


@dataclass(frozen=True, slots=True)
class Nucleus:
    """One nucleus of a file.

    Attributes
    ----------
    polygons : list
        Of polygons, each a list of rings as GeoJSON has them, the exterior first.
    feature : Mapping
        What the file says of it; its geometry is that of `polygons`.
    """

    polygons: list[Any]
    feature: Mapping[str, Any]

    def rings(self) -> list[Ring]:
        """All rings, without z; closed or not, as the file has them."""
        return [as_ring(ring) for ring in chain.from_iterable(self.polygons)]

    @property
    def color(self) -> tuple[int, int, int]:
        """Its class's RGB, red where it has none."""
        found = (self.feature.get("properties") or {}).get("classification")
        color = found.get("color") if isinstance(found, dict) else None
        if (
            isinstance(color, list)
            and len(color) == 3
            and all(type(c) is int and 0 <= c < 256 for c in color)
        ):
            return color[0], color[1], color[2]
        return _RED


def as_ring(points: Any) -> Ring:
    """Points as (n, 2).

    Raises
    ------
    ValueError, TypeError
        They are fewer than three, not finite, or no points.
    """
    ring = np.asarray(points, np.float64)
    if ring.ndim != 2 or len(ring) < 3 or ring.shape[1] < 2 or not np.isfinite(ring).all():
        raise ValueError("a ring needs at least three finite points")
    return ring[:, :2]


def nuclei_of(feature: Mapping[str, Any], index: int, kind: str, counts: dict[str, int]) -> Iterator[Nucleus]:
    """The nuclei of a Feature; `counts` is told what was split, and which cells have no nucleus.

    Raises
    ------
    ValueError, TypeError, KeyError
        It is no polygon.
    """
    inner = feature.get("nucleusGeometry") or (feature.get("properties") or {}).get("nucleusGeometry")
    if kind == "cell" and not inner:
        counts["cells"] = counts.get("cells", 0) + 1
    geometry = inner or feature.get("geometry")
    polygons = _polygons(geometry, index)
    if len(polygons) == 1 or (kind in ("detection", "cell") and _is_together(polygons)):
        yield Nucleus(
            polygons, feature if geometry is feature.get("geometry") else {**feature, "geometry": geometry}
        )
        return
    counts["split"] = counts.get("split", 0) + 1
    rest = {key: value for key, value in feature.items() if key not in ("id", "nucleusGeometry")}
    for polygon in polygons:
        yield Nucleus([polygon], {**rest, "geometry": {"type": "Polygon", "coordinates": polygon}})


def _polygons(geometry: Any, index: int) -> list[Any]:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == "GeometryCollection":
        return [polygon for each in geometry["geometries"] for polygon in _polygons(each, index)]
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"feature {index}, counted from 0, is a {kind or 'thing without geometry'}")
    coordinates = geometry["coordinates"]
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not polygons or not all(polygons):
        raise ValueError(f"feature {index}, counted from 0, is without points")
    return list(polygons)


_GAP_PX: Final = 3.0
_MOST_PARTS: Final = 16


def _is_together(polygons: list[Any]) -> bool:
    """Whether the parts are pieces of one nucleus: few, and each box within 3 px of one that is with the first."""
    if len(polygons) > _MOST_PARTS:
        return False
    boxes = [(ring.min(axis=0), ring.max(axis=0)) for ring in (as_ring(polygon[0]) for polygon in polygons)]
    near, left = boxes[:1], boxes[1:]
    while left:
        joined = [box for box in left if any(_is_near(box, other) for other in near)]
        if not joined:
            return False
        near += joined
        left = [b for b in left if not any(b is j for j in joined)]
    return True


def _is_near(one: tuple[Ring, Ring], other: tuple[Ring, Ring]) -> bool:
    return bool((one[0] - other[1] <= _GAP_PX).all() and (other[0] - one[1] <= _GAP_PX).all())
