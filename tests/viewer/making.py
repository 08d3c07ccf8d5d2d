"""A slide of one colour and nuclei at known places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wsi_nucssl.export.base import ExportContext, export
from wsi_nucssl.export.registry import EXPORTERS, format_of
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.nuclei.table import MEASUREMENTS, Nuclei
from wsi_nucssl.schema import NucleusType
from wsi_nucssl.slide import identity

MPP = 0.5
SIZE = 1200, 900
COLOR = 230, 180, 205
TYPES = (NucleusType("round", (10, 20, 250)), NucleusType("flat", (250, 120, 0)))

Square = tuple[int, int, int]
"""Left, top, side."""


def write_slide(path: Path, size: tuple[int, int] = SIZE) -> Path:
    """An image of one colour."""
    Image.fromarray(np.full((size[1], size[0], 3), COLOR, np.uint8)).save(path)
    return path


def squares(places: Sequence[Square], *, typed: bool = False) -> Nuclei:
    """A nucleus each; those with an odd number have a hole in the middle third."""
    rings, lengths, counts = [], [], []
    for number, (x, y, side) in enumerate(places):
        rings.append([(x, y), (x, y + side), (x + side, y + side), (x + side, y), (x, y)])
        if number % 2:
            a, b = side // 3, side - side // 3
            rings.append([(x + a, y + a), (x + b, y + a), (x + b, y + b), (x + a, y + b), (x + a, y + a)])
        counts.append(1 + number % 2)
    lengths = [len(ring) for ring in rings]
    measured = np.full((len(places), len(MEASUREMENTS)), 0.5, np.float32)
    measured[:, 0] = [side * side for _, _, side in places]
    kinds = np.arange(len(places)) % 2 if typed else np.full(len(places), -1)
    return Nuclei(
        np.array([place[:2] for place in places], np.int64).reshape(-1, 2),
        np.array([point for ring in rings for point in ring], np.int32).reshape(-1, 2),
        np.append(0, np.cumsum(lengths)).astype(np.int64),
        np.append(0, np.cumsum(counts)).astype(np.int64),
        measured,
        np.zeros(len(places), np.bool_),
        kinds.astype(np.int16),
        np.full((len(places), 2 if typed else 0), 0.75, np.float32),
    )


def write_nuclei(
    path: Path,
    slide: Path,
    places: Iterable[Square],
    *,
    typed: bool = False,
    slide_id: str = "",
    **header: Any,
) -> Path:
    """A file of ours, in the format that its ending says; the canvas is level 0."""
    said = {
        "kind": "segment",
        "slide": slide_id or identity(slide),
        "slide_name": slide.name,
        "slide_mpp": [MPP, MPP],
        "model_mpp": MPP,
        "origin_l0": [0, 0],
        **({"types": [{"name": each.name, "color": [*each.color]} for each in TYPES]} if typed else {}),
        **header,
    }
    context = ExportContext(
        CanvasTransform(1, 1), Mpp.square(MPP), str(said["slide"]), said, types=TYPES if typed else ()
    )
    exporter = EXPORTERS.get(str(format_of(path)))
    export({path: exporter}, [squares([*places], typed=typed)], context)
    return path
