"""Two results of one slide: which nuclei both have.

Two outlines are one nucleus if their intersection is more than half of their union: then no third one matches either,
as long as outlines of one result do not overlap (Kirillov et al. 2019, https://arxiv.org/abs/1801.00868).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray

from wsi_nucssl.viewer.reading import TiledNuclei

SIDES: Final = ("first.bin", "second.bin")
COUNTS: Final = "counts.json"
_LEAST_IOU: Final = 0.5
_TILES: Final = 64


def write_matches(folder: Path, first: TiledNuclei, second: TiledNuclei) -> None:
    """Write which nuclei both results have: for each side uint8 (n,), 1 for those, and how many there are.

    Parameters
    ----------
    folder : Path
        Where nothing is yet.
    first, second : TiledNuclei
        Two results of one slide.
    """
    flags = matches(first, second)
    folder.mkdir(parents=True)
    for name, side in zip(SIDES, flags, strict=True):
        (folder / name).write_bytes(side.astype(np.uint8).tobytes())
    both = int(flags[0].sum())
    counts = {"both": both, "first": len(first) - both, "second": len(second) - both}
    (folder / COUNTS).write_bytes(orjson.dumps(counts))


def matches(first: TiledNuclei, second: TiledNuclei) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each side, which nuclei the other one has too; bool (n,) each. Tiles are looked at one after another."""
    found = np.zeros(len(first), np.bool_), np.zeros(len(second), np.bool_)
    numbers = second.tiles

    @lru_cache(maxsize=_TILES)
    def others(row: int, col: int) -> NDArray[np.object_]:
        return second.outlines(row, col)

    for (row, col), own in first.tiles.items():
        around = [
            (row + dy, col + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (row + dy, col + dx) in numbers
        ]
        if not around:
            continue
        candidates = np.concatenate([others(*place) for place in around])
        which = np.concatenate([np.array(numbers[place]) for place in around])
        mine, theirs = _pairs(first.outlines(row, col), candidates)
        found[0][own.start + mine] = True
        found[1][which[theirs]] = True
    return found


def _pairs(one: NDArray[np.object_], other: NDArray[np.object_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows of both that are one nucleus."""
    mine, theirs = shapely.STRtree(other).query(one, predicate="intersects")
    a, b = one[mine], other[theirs]
    same = shapely.equals_exact(a, b)
    areas = np.stack([shapely.area(a), shapely.area(b)])
    left = np.flatnonzero(~same & (_boxes_share(a, b) > _LEAST_IOU * areas.max(axis=0)))
    shared = shapely.area(shapely.intersection(a[left], b[left]))  # what takes the time
    same[left] = shared > _LEAST_IOU * (areas[:, left].sum(axis=0) - shared)
    return mine[same], theirs[same]


def _boxes_share(one: NDArray[np.object_], other: NDArray[np.object_]) -> NDArray[np.float64]:
    """The area that the boxes around two outlines share, no less than what the outlines share; (n,)."""
    a, b = shapely.bounds(one), shapely.bounds(other)
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    area: NDArray[np.float64] = np.maximum(sides, 0).prod(axis=1)
    return area
