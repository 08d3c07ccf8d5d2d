"""What objects of QuPath's GeoJSON are, what their classes are called, and how those names are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

REGION: Final = "Region"
"""The class of rectangles inside which all nuclei are annotated."""
_IGNORED: Final = "*"
"""QuPath ignores classes whose names end so, such as "Ignore*"."""
_OLD_QUPATH: Final = {
    "PathTileObject": "tile",
    "TMACoreObject": "tma_core",
    "PathRootObject": "root",
    "PathAnnotationObject": "annotation",
    "PathDetectionObject": "detection",
    "PathCellObject": "cell",
}


def kind_of(feature: Mapping[str, Any]) -> str:
    """QuPath's word for what a Feature is; "" where the file does not say."""
    properties = feature.get("properties") or {}
    if not isinstance(properties, dict):
        raise TypeError("the properties of a feature are no object")
    known = properties.get("objectType", properties.get("object_type"))
    return str(known).lower() if known else _OLD_QUPATH.get(str(feature.get("id")), "")


def class_of(feature: Mapping[str, Any]) -> str:
    """The name of a Feature's class, "Tumor: Positive" where it has several parts; "" without one.

    Raises
    ------
    TypeError
        Its properties are no object.
    """
    properties = feature.get("properties") or {}
    if not isinstance(properties, dict):
        raise TypeError("the properties of a feature are no object")
    given = properties.get("classification")
    if not isinstance(given, dict):
        return str(given or "")
    names = given.get("names")
    return ": ".join(map(str, names)) if isinstance(names, list) else str(given.get("name") or "")


def is_ignored(name: str) -> bool:
    """Whether QuPath ignores a class."""
    return name.endswith(_IGNORED)


def is_named(name: str, given: str) -> bool:
    """Whether a class is the one of that name; QuPath's own list of classes has "Region*"."""
    return unstarred(name) == unstarred(given)


def is_one_of(name: str, classes: Iterable[str]) -> bool:
    """Whether a class is one of some; "Tumor" takes "Tumor: Positive" too."""
    return not {_folded(each) for each in classes}.isdisjoint(
        {_folded(name), _folded(name.partition(":")[0])}
    )


def unstarred(name: str) -> str:
    """A class's name as it is compared, without what has QuPath ignore it."""
    return _folded(name).removesuffix(_IGNORED)


def _folded(name: str) -> str:
    return name.strip().casefold()
