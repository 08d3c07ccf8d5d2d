"""The layouts of datasets by name. A new one is a file and a line here, or an entry point: docs/extending.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsi_nucssl.registry import Plugin, Registry

if TYPE_CHECKING:
    from wsi_nucssl.datasets.choice import AnnotationChoice
    from wsi_nucssl.datasets.sample import Dataset


@dataclass(frozen=True, slots=True)
class Layout:
    """A way in which the files of a dataset lie.

    Attributes
    ----------
    open : callable
        Given the folder, the `Dataset`, or None where the files do not lie in this way. It reads no image yet, and
        raises a `DatasetError` where they do but something is missing.
    open_chosen : callable, optional
        The same, given the folder and an `AnnotationChoice` of what in its annotations counts.
    """

    open: Callable[[Path], Dataset | None]
    open_chosen: Callable[[Path, AnnotationChoice], Dataset | None] | None = None


_HERE: Final = "wsi_nucssl.datasets.layouts"

LAYOUTS: Final[Registry[Layout]] = Registry(
    "layout",
    "wsi_nucssl.layouts",
    Plugin(
        "pannuke", f"{_HERE}.pannuke:LAYOUT", "images.npy, masks.npy and, if there, types.npy of each fold"
    ),
    Plugin(
        "regions",
        f"{_HERE}.regions:LAYOUT",
        "slides or images, each with a GeoJSON in which all nuclei inside rectangles of the class Region are annotated",
    ),
    Plugin(
        "coco",
        f"{_HERE}.coco:LAYOUT",
        "COCO's JSON, in the folder or in annotations/, and the images that it lists, in the folder or in images/",
    ),
    Plugin(
        "folders",
        f"{_HERE}.folders:LAYOUT",
        "images/ + labels/ (or masks/), or MoNuSeg's Tissue Images/ + Annotations/; "
        "image and annotation have the same name",
    ),
    Plugin(
        "beside",
        f"{_HERE}.beside:LAYOUT",
        "image and annotation side by side, as x.png and x.geojson of QuPath, or in MoNuSeg's test set and CPM; "
        "an annotation that is a picture ends in _label, _labels, _mask, _masks or _cp_masks",
    ),
)
"""In the order in which "auto" tries them; those from outside come last."""
