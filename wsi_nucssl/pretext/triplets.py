"""Where anchor, positive and negative lie in a tile (Xie et al., 2020, §2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Point, Size

REFERENCE_PX: Final = 1000
"""Side of the tile that the sizes of a `TripletGeometry` refer to."""
MIN_TILE_PX: Final = 125
"""Below this, the paper's smallest negative would be less than 8 px wide."""


@dataclass(frozen=True, slots=True)
class TripletGeometry:
    """Sizes in px of a 1000-px tile; in a tile of another side they scale with it.

    Attributes
    ----------
    anchor_px : int
        Side of anchor and positive.
    negatives_px : tuple of int
        Sides of the negative, drawn with equal chance.
    min_offset_px : int
        Along x or along y, the positive lies at least this far from the anchor: "adjacent".
    """

    anchor_px: int = 768
    negatives_px: tuple[int, ...] = (512, 256, 128, 64)
    min_offset_px: int = 116

    def __post_init__(self) -> None:
        if not 0 < self.anchor_px <= REFERENCE_PX:
            raise UsageError(
                f"the anchor must fit into a {REFERENCE_PX}-px tile, not measure {self.anchor_px}"
            )
        if not self.negatives_px or not all(0 < side <= self.anchor_px for side in self.negatives_px):
            raise UsageError(
                f"negatives must lie in the positive of {self.anchor_px} px, not {self.negatives_px}"
            )
        if not 0 <= self.min_offset_px <= REFERENCE_PX - self.anchor_px:
            raise UsageError(
                f"a {self.anchor_px}-px positive cannot lie {self.min_offset_px} px from the anchor",
                remedy=f"Choose a minimum offset of at most {REFERENCE_PX - self.anchor_px}",
            )

    def anchor_in(self, tile_px: int) -> int:
        """Side of anchor and positive in a tile of side `tile_px`."""
        return self.scaled(self.anchor_px, tile_px)

    def scaled(self, length_px: int, tile_px: int) -> int:
        """A length of the reference tile, in px of a tile of side `tile_px`; at least 1 unless it is 0."""
        return max(min(length_px, 1), round(length_px * tile_px / REFERENCE_PX))


@dataclass(frozen=True, slots=True)
class Triplet:
    """Three squares in px of a tile; `negative` lies inside `positive`."""

    anchor: Box
    positive: Box
    negative: Box


def draw_triplet(tile_px: int, geometry: TripletGeometry, rng: np.random.Generator) -> Triplet:
    """Draw a triplet in a square tile of side `tile_px`.

    The displacement of the positive is drawn first, then a place for the pair, so that every allowed displacement fits.

    Raises
    ------
    UsageError
        The tile is too small for nuclei to be seen in the negative.
    """
    if tile_px < MIN_TILE_PX:
        raise UsageError(
            f"a tile of {tile_px} px is too small for triplets", remedy=f"Use {MIN_TILE_PX} px or more"
        )
    side = geometry.anchor_in(tile_px)
    slack = tile_px - side
    far = int(rng.integers(min(geometry.scaled(geometry.min_offset_px, tile_px), slack), slack + 1))
    far *= int(rng.choice((-1, 1)))
    near = int(rng.integers(-slack, slack + 1))
    dx, dy = (far, near) if rng.random() < 0.5 else (near, far)
    anchor = Box.at(Point(_start(dx, slack, rng), _start(dy, slack, rng)), Size(side, side))
    positive = anchor.shift(dx, dy)
    negative_side = geometry.scaled(int(rng.choice(geometry.negatives_px)), tile_px)
    room = side - negative_side
    corner = Point(positive.x0 + int(rng.integers(0, room + 1)), positive.y0 + int(rng.integers(0, room + 1)))
    return Triplet(anchor, positive, Box.at(corner, Size(negative_side, negative_side)))


def _start(offset: int, slack: int, rng: np.random.Generator) -> int:
    """A coordinate of the anchor such that both it and the anchor moved by `offset` lie in [0, slack]."""
    return int(rng.integers(max(0, -offset), slack - max(0, offset) + 1))
