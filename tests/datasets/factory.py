"""Tiny datasets made on the fly, in each of the layouts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

SHAPE = (6, 9)
"""(rows, cols), not square, so that a transposed reader shows."""


def image(seed: int = 0) -> np.ndarray:
    """Random RGB image of SHAPE; its channels differ, so that BGR shows."""
    return np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


def labels(seed: int = 0) -> np.ndarray:
    """Random label image of SHAPE with ids from 0 to 4, not symmetric."""
    return np.random.default_rng(seed + 100).integers(0, 5, SHAPE).astype(np.int32)


def write_png(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imagecodecs.png_encode(pixels))
    return path


def write_tiff(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="rgb")
    return path


def write_xml(
    path: Path, *regions: Sequence[tuple[float, float]], annotations: int = 1, mpp: str | None = None
) -> Path:
    """An Aperio file; the regions are dealt to the given number of annotations, in order."""
    drawn = [
        "<Region><Vertices>"
        + "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in region)
        + "</Vertices></Region>"
        for region in regions
    ]
    size = -(-len(drawn) // annotations) or 1
    parts = ["".join(drawn[first : first + size]) for first in range(0, len(drawn), size)]
    body = "\n".join(f"<Annotation>\n<Regions>{part}</Regions>\n</Annotation>" for part in parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    root = "Annotations" if mpp is None else f'Annotations MicronsPerPixel="{mpp}"'
    path.write_text(f"<{root}>\n{body}\n</Annotations>\n")
    return path


def write_cpm_text(path: Path, ids: np.ndarray, header: tuple[int, int] | None = None) -> Path:
    width, height = header or (ids.shape[1], ids.shape[0])
    path.write_text(f"{width} {height}\n" + "\n".join(map(str, ids.ravel())) + "\n")
    return path


def write_folders(root: Path, *names: str) -> Path:
    """images/ and labels/ with one PNG each per name."""
    for seed, name in enumerate(names):
        write_png(root / "images" / f"{name}.png", image(seed))
        write_png(root / "labels" / f"{name}.png", labels(seed).astype(np.uint16))
    return root
