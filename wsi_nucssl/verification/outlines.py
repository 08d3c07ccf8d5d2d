"""Outlines as QuPath takes them: closed, valid when rounded to 0.01 px, on the slide, each of an id of its own."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from wsi_nucssl.export.transform import COORDINATE_DECIMALS
from wsi_nucssl.geometry import Size
from wsi_nucssl.verification.fault import Tally

_BEYOND_PX: Final = 0.02
"""Level-0 px that a vertex may lie beyond the slide: an edge's last 0.005 px may be a canvas px (`CanvasTransform`)."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where outlines may lie, in the file's px; sides that nobody knows are infinite."""

    x0: float = -np.inf
    y0: float = -np.inf
    x1: float = np.inf
    y1: float = np.inf

    @classmethod
    def of(cls, origin_l0: Sequence[float] | None, size: Size | None) -> Reach:
        """Of a slide of `size`, in px that count from `origin_l0`."""
        if origin_l0 is None:
            return cls()
        x, y = origin_l0
        if size is None:
            return cls(-x, -y)
        return cls(-x, -y, size.width - x, size.height - y)

    def leaves(self, least: NDArray[np.float64], most: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether boxes, (n, 2) corners each, leave it."""
        low = np.array([self.x0, self.y0]) - _BEYOND_PX
        high = np.array([self.x1, self.y1]) + _BEYOND_PX
        return np.asarray(((least < low) | (most > high)).any(axis=1))


class OutlineChecks:
    """Looks at polygons, block by block, in bounded memory.

    Parameters
    ----------
    tally : Tally
        Is told of faults.
    reach : Reach
        Where they may lie.
    """

    def __init__(self, tally: Tally, reach: Reach) -> None:
        self.tally, self.reach = tally, reach

    def add(
        self,
        owners: Sequence[str],
        xy: NDArray[np.float64],
        rings: NDArray[np.int64],
        polygons: NDArray[np.int64],
    ) -> None:
        """Look at a block of polygons.

        Parameters
        ----------
        owners : sequence of str
            What each polygon is called in a message.
        xy : float64 (m, 2)
            Vertices; rings and polygons are offsets as those of `Nuclei`.
        """
        if not len(owners):
            return
        sound = self._closed(owners, xy, rings, polygons)
        rounded = np.rint(xy * 10**COORDINATE_DECIMALS) / 10**COORDINATE_DECIMALS
        self._valid(owners, rounded, rings, polygons, sound)
        first = rings[polygons[:-1]]
        gone = self.reach.leaves(np.minimum.reduceat(xy, first), np.maximum.reduceat(xy, first))
        for index in np.flatnonzero(gone).tolist():
            self.tally.note("outside", f"{owners[index]} lies outside the slide")

    def _closed(
        self,
        owners: Sequence[str],
        xy: NDArray[np.float64],
        rings: NDArray[np.int64],
        polygons: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Which polygons have closed rings of four points or more."""
        closed = (xy[rings[:-1]] == xy[rings[1:] - 1]).all(axis=1) & (np.diff(rings) >= 4)
        sound: NDArray[np.bool_] = np.logical_and.reduceat(closed, polygons[:-1])
        for index in np.flatnonzero(~sound).tolist():
            self.tally.note(
                "ring", f"{owners[index]} has a ring that is not closed, or of fewer than 4 points"
            )
        return sound

    def _valid(
        self,
        owners: Sequence[str],
        xy: NDArray[np.float64],
        rings: NDArray[np.int64],
        polygons: NDArray[np.int64],
        sound: NDArray[np.bool_],
    ) -> None:
        if sound.all():
            shapes = shapely.from_ragged_array(shapely.GeometryType.POLYGON, xy, (rings, polygons))
            here = np.arange(len(owners))
        else:
            here = np.flatnonzero(sound)
            shapes = np.array([_polygon(xy, rings, polygons, index) for index in here.tolist()], object)
        for index in np.flatnonzero(~shapely.is_valid(shapes)).tolist():
            why = shapely.is_valid_reason(shapes[index])
            self.tally.note("polygon", f"{owners[here[index]]} is no valid polygon ({why})")


def _polygon(
    xy: NDArray[np.float64], rings: NDArray[np.int64], polygons: NDArray[np.int64], index: int
) -> object:
    parts = [xy[rings[ring] : rings[ring + 1]] for ring in range(polygons[index], polygons[index + 1])]
    return shapely.Polygon(parts[0], parts[1:])


class Ids:
    """Whether ids repeat: 8 bytes an id, whatever its length."""

    def __init__(self) -> None:
        self._seen = array("Q")

    def add(self, identifier: str) -> None:
        """Take note of the next id of the file."""
        digest = hashlib.blake2b(identifier.encode(), digest_size=8).digest()
        self._seen.append(int.from_bytes(digest, "little"))

    def judge(self, tally: Tally, called: str) -> None:
        """Note ids that came before; `called` is what has one, such as "feature"."""
        seen = np.frombuffer(self._seen, np.uint64) if self._seen else np.zeros(0, np.uint64)
        order = np.argsort(seen, kind="stable")
        again = np.flatnonzero(seen[order][1:] == seen[order][:-1])
        if len(again):
            one, other = order[again[0]] + 1, order[again[0] + 1] + 1
            tally.note("id", f"{called} {other} has the id of {called} {one}", len(again))
