"""Regions that somebody drew on a slide, as annotations of QuPath's, and the rule by which nuclei belong to them.

**The rule.** A nucleus belongs to the regions when the centre of its seed, the first pixel of its marker, lies in one
of them, and in none of the areas that are to be ignored. The seed is what decides which block owns a nucleus, too
(`nuclei.seams`). So nothing but the place of one point counts: not which other regions there are, not the block, not
how far the nucleus reaches. Areas own their left and upper outlines: two that share a border share no point and miss
none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.geometry import Box
from wsi_nucssl.slide.annotations import Polygon
from wsi_nucssl.slide.outlines import filled
from wsi_nucssl.slide.tissue import TissueMask

RULE: Final = "centre of the seed"
"""What a record says of the rule; another rule has another name."""
_SAMPLES: Final = 1024
"""Along each side of what an area is measured on: a thousandth of it shows."""
_PAIRS: Final = 1 << 21
"""Points times sides that are held at a time."""

Extent = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in level-0 px."""
Edges = NDArray[np.float64]
"""(n, 4) as (x0, y0, x1, y1), y0 < y1: the sides of an area, of its holes too; level sides decide nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """Which points lie in regions; small enough to travel, once it is that `near` a place.

    Attributes
    ----------
    areas, cuts : tuple of Edges
        Of each area that counts, and of each that is ignored, in level-0 px.
    """

    areas: tuple[Edges, ...]
    cuts: tuple[Edges, ...] = ()

    def holds(self, xy: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Whether points lie in an area that counts and in none that is ignored.

        Parameters
        ----------
        xy : ndarray of float
            (n, 2), level-0 px.
        """
        inside = np.zeros(len(xy), np.bool_)
        for edges in self.areas:
            inside |= _holds(edges, xy)
        for edges in self.cuts:
            inside &= ~_holds(edges, xy)
        return inside

    def near(self, box: Box) -> Self:
        """The same rule for points of a level-0 box, of those sides alone that have a say there."""
        return replace(self, areas=_near(self.areas, box), cuts=_near(self.cuts, box))


@dataclass(frozen=True, slots=True, eq=False)
class Roi:
    """Regions of one slide.

    Attributes
    ----------
    path : Path
        Where they were read.
    areas, cuts : tuple of Polygon
        What counts, and what is ignored, in level-0 px from the slide's corner.
    """

    path: Path
    areas: tuple[Polygon, ...]
    cuts: tuple[Polygon, ...] = ()

    @property
    def rule(self) -> Rule:
        """Which points lie in them."""
        return Rule(tuple(map(_edges, self.areas)), tuple(map(_edges, self.cuts)))

    @property
    def sha256(self) -> str:
        """Of the outlines and of what they stand for, whatever else the file says."""
        hashed = hashlib.sha256()
        for role, polygons in (("area", self.areas), ("cut", self.cuts)):
            for polygon in polygons:
                hashed.update(f"{role} {[len(ring) for ring in polygon]}\n".encode())
                for ring in polygon:
                    hashed.update(ring.astype("<f8").tobytes())
        return hashed.hexdigest()

    def record(self) -> dict[str, Any]:
        """What a manifest says of them."""
        return {"roi": {"sha256": self.sha256, "rule": RULE}}

    @property
    def box(self) -> Box:
        """The least level-0 box that covers the areas; may leave the slide."""
        corners = np.concatenate([ring for polygon in self.areas for ring in polygon])
        (x0, y0), (x1, y1) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
        return Box(int(x0), int(y0), max(int(x1), int(x0) + 1), max(int(y1), int(y0) + 1))

    def parts_in(self, boxes: Sequence[Box]) -> list[Extent | None]:
        """What of each level-0 box the areas reach; None where they do not."""
        import shapely

        shapes = np.array([shapely.Polygon(polygon[0], polygon[1:]) for polygon in self.areas])
        tree = shapely.STRtree(shapes)
        found: list[Extent | None] = []
        for box in boxes:
            window = shapely.box(box.x0, box.y0, box.x1, box.y1)
            near = shapes[tree.query(window, predicate="intersects")]
            each = shapely.bounds(shapely.intersection(near, window))
            each = each[~np.isnan(each[:, 0])]  # nothing at all: the window lies in a hole
            found.append(
                (*each[:, :2].min(axis=0).tolist(), *each[:, 2:].max(axis=0).tolist()) if len(each) else None
            )
        return found

    def tissue_mm2(self, tissue: TissueMask, box: Box) -> float:
        """How much tissue the regions hold within a level-0 box, in mm²; 0 where the resolution is unknown."""
        seen = self.box.clip(box)
        if tissue.mpp is None or seen.is_empty:
            return 0.0
        rows, cols = min(_SAMPLES, 4 * seen.height), min(_SAMPLES, 4 * seen.width)
        step = (seen.width / cols, seen.height / rows)
        there = self._covered((seen.x0, seen.y0), step, (rows, cols))
        row, col = (
            (((np.arange(count) + 0.5) * side + first) / tissue.scale).astype(np.int64).clip(0, most - 1)
            for count, side, first, most in (
                (rows, step[1], seen.y0, tissue.mask.shape[0]),
                (cols, step[0], seen.x0, tissue.mask.shape[1]),
            )
        )
        um2_per_px = tissue.mpp.x * tissue.mpp.y / tissue.scale**2
        sampled = int((there & tissue.mask[np.ix_(row, col)]).sum())
        return sampled * step[0] * step[1] * um2_per_px / 1e6

    def within(self, tissue: TissueMask) -> TissueMask:
        """The tissue that lies in the regions."""
        rows, cols = tissue.mask.shape
        mask = self._covered((0.0, 0.0), (tissue.scale, tissue.scale), (rows, cols))
        return replace(tissue, mask=tissue.mask & mask)

    def _covered(
        self, corner: tuple[float, float], step: tuple[float, float], shape: tuple[int, int]
    ) -> NDArray[np.bool_]:
        """The px of `step` level-0 px from a corner on whose centres lie in the regions, bool (row, col)."""

        def covered(polygons: Iterable[Polygon]) -> NDArray[np.bool_]:
            mask = np.zeros(shape, np.bool_)
            for polygon in polygons:
                mask |= filled([(ring - corner) / step for ring in polygon], shape)
            return mask

        return covered(self.areas) & ~covered(self.cuts)


def _edges(polygon: Polygon) -> Edges:
    corners = np.concatenate(polygon)
    following = np.concatenate([np.roll(ring, -1, axis=0) for ring in polygon])
    falls = corners[:, 1:] > following[:, 1:]
    ends = np.where(falls, following, corners), np.where(falls, corners, following)
    edges = np.concatenate(ends, axis=1)
    return edges[edges[:, 1] < edges[:, 3]]


def _near(each: tuple[Edges, ...], box: Box) -> tuple[Edges, ...]:
    """Without the sides that no row of a box meets, and those behind it: a point is judged by what lies to its left."""
    kept = []
    for edges in each:
        x0, y0, x1, y1 = edges.T
        kept.append(edges[(y0 < box.y1) & (y1 > box.y0) & (np.minimum(x0, x1) <= box.x1)])
    return tuple(edges for edges in kept if len(edges))


def _holds(edges: Edges, xy: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Whether an odd number of sides lies to the left of each point, or under it."""
    inside = np.zeros(len(xy), np.bool_)
    at_once = max(1, _PAIRS // max(1, len(edges)))
    x0, y0, x1, y1 = edges.T
    for first in range(0, len(xy), at_once):
        x, y = xy[first : first + at_once].T[..., None]
        is_level = (y0 <= y) & (y < y1)
        crossing = x0 + (y - y0) * ((x1 - x0) / (y1 - y0))
        inside[first : first + at_once] = (is_level & (crossing <= x)).sum(axis=1) % 2 == 1
    return inside
