"""Tissue as annotations that QuPath opens, to be corrected there, and read back.

Coordinates are QuPath's: level-0 px from the corner of the slide's bounds.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.annotation_classes import class_of, is_ignored, kind_of
from wsi_nucssl.errors import InputError
from wsi_nucssl.files import write_atomic
from wsi_nucssl.geometry import Point
from wsi_nucssl.slide.outlines import filled, outlines

_CLASS: Final = {"name": "Tissue", "color": [0, 140, 60]}
_NO_AREAS: Final = ("detection", "cell", "tile", "root")
REMEDY: Final = "Export annotations from QuPath as GeoJSON (File → Export objects as GeoJSON)"

_FARTHEST: Final = 1e9

Polygon = list[NDArray[np.float64]]
"""Its outer ring and those of its holes, (n, 2) as (x, y)."""


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """An object of a file that may cover an area: an annotation, say, or a core of a tissue array.

    Attributes
    ----------
    name : str
        Its own name; "" without one.
    kind : str
        That of its class; "" without one.
    polygons : list of Polygon
        What it covers, in px of the file; lines and points cover nothing.
    """

    name: str
    kind: str
    polygons: list[Polygon]


def write_annotations(path: Path, mask: NDArray[np.bool_], scale: float, origin: Point) -> None:
    """Write a mask as one annotation for each connected part; the same mask gives the same bytes.

    Parameters
    ----------
    path : Path
        A GeoJSON file.
    mask : ndarray of bool
        (row, col).
    scale : float
        Level-0 px per mask px.
    origin : Point
        Corner of the slide's bounds, in level-0 px.
    """
    features = []
    for rings in outlines(mask):
        closed = [np.vstack([ring, ring[:1]]) * scale - np.array([origin.x, origin.y]) for ring in rings]
        shape = [np.round(ring, 2).tolist() for ring in closed]
        features.append(
            {
                "type": "Feature",
                "id": str(uuid.uuid5(uuid.NAMESPACE_OID, repr(shape[0][0]))),
                "geometry": {"type": "Polygon", "coordinates": shape},
                "properties": {"objectType": "annotation", "classification": _CLASS},
            }
        )
    write_atomic(path, orjson.dumps({"type": "FeatureCollection", "features": features}) + b"\n")


def read_annotations(path: Path, shape: tuple[int, int], scale: float, origin: Point) -> NDArray[np.bool_]:
    """What annotations cover of a slide: bool (row, col) of that shape; the rest as `write_annotations` takes it.

    Annotations of the class "Tissue" count, or all if none has it; those of a class that QuPath ignores, whose name
    ends in "*", are cut out.

    Raises
    ------
    InputError
        The file cannot be read, is no GeoJSON, or covers no part of the slide.
    """
    kept = [(each.kind, polygon) for each in annotations_in(path) for polygon in each.polygons]
    is_named = any(name == _CLASS["name"] for name, _ in kept)
    corner = np.array([origin.x, origin.y])
    mask, cut = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for name, polygon in kept:
        area = filled([(ring + corner) / scale for ring in polygon], shape)
        if is_ignored(name):
            cut |= area
        elif not is_named or name == _CLASS["name"]:
            mask |= area
    if not (mask & ~cut).any():
        raise InputError(
            f"none of its {len(kept)} polygons covers a part of the slide",
            path=path,
            remedy="Check that it belongs to this slide, and that its coordinates are px, not µm",
        )
    return mask & ~cut


def annotations_in(path: Path) -> list[Annotation]:
    """The annotations of a file in its order; detections, cells and tiles are none.

    Raises
    ------
    InputError
        The file cannot be read, or is no GeoJSON.
    """
    try:
        return [
            Annotation(_name(feature), class_of(feature), _polygons(feature["geometry"]))
            for feature in _features(orjson.loads(path.read_bytes()))
        ]
    except FileNotFoundError as error:
        raise InputError("there is no such file", path=path, remedy="Check the path") from error
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"no GeoJSON of annotations ({error})", path=path, remedy=REMEDY) from error


def _features(content: Any) -> Iterator[dict[str, Any]]:
    """The annotations of a FeatureCollection, a list of Features, or one, be it a geometry alone."""
    if isinstance(content, dict):
        is_bare = content["type"] not in ("FeatureCollection", "Feature")
        one = {"geometry": content} if is_bare else content
        content = content["features"] if content["type"] == "FeatureCollection" else [one]
    if not isinstance(content, list):
        raise TypeError("its features are no list")
    for feature in content:
        if kind_of(feature) not in _NO_AREAS:
            yield feature


def _name(feature: dict[str, Any]) -> str:
    return str((feature.get("properties") or {}).get("name") or "")


def _polygons(geometry: dict[str, Any]) -> list[Polygon]:
    """The polygons of a geometry; lines and points have none."""
    kind = geometry["type"]
    if kind == "GeometryCollection":
        return [polygon for part in geometry["geometries"] for polygon in _polygons(part)]
    if kind not in ("Polygon", "MultiPolygon"):
        return []
    each = [geometry["coordinates"]] if kind == "Polygon" else geometry["coordinates"]
    return [[_ring(ring) for ring in rings] for rings in each]


def _ring(given: Any) -> NDArray[np.float64]:
    ring = np.array([point[:2] for point in given], np.float64)
    if ring.ndim != 2 or ring.shape[1] != 2 or not (np.abs(ring) < _FARTHEST).all():
        raise ValueError("a ring is no list of (x, y) in px")
    return ring
