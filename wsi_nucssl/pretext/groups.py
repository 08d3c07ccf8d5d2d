"""Tiles of one slide, one store or one image: what sampling is balanced over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from wsi_nucssl.checks import whole, within
from wsi_nucssl.errors import InputError
from wsi_nucssl.geometry import Box, Mpp, Size
from wsi_nucssl.grid import Tile, TileGrid
from wsi_nucssl.locations import Location
from wsi_nucssl.mpp import GivenMpp
from wsi_nucssl.pretext.slide_pool import SlidePool
from wsi_nucssl.pretext.triplets import MIN_TILE_PX
from wsi_nucssl.runs import digest
from wsi_nucssl.slide import RGB, Canvas, Slide, identity, tissue_mask
from wsi_nucssl.slide.part import ANY_PART, PartChoice
from wsi_nucssl.slide.resolution import require_detail
from wsi_nucssl.slide.tissue_files import tissue_record
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE
from wsi_nucssl.tiles.store import TileStore


@dataclass(frozen=True, slots=True)
class TileSettings:
    """Which tiles to take.

    Attributes
    ----------
    mpp : float
        µm per px of the tiles. Plain images are taken as they are, at this mpp.
    slide_mpp : float or None
        µm per level-0 px of the slides that do not state it.
    force_mpp : bool
        `slide_mpp` goes before what slides state, and an unusual resolution is not questioned.
    tile_px : int
        Side of a tile; what is smaller gives smaller tiles.
    min_tissue : float
        A slide's tile is taken if at least this part of it is tissue.
    mpp_factor : int
        Read slides that have the detail at mpp / mpp_factor, with tiles of tile_px · mpp_factor, so that a
        magnified view shows real detail instead of enlarged pixels.
    tissue : str
        How tissue is found, as `tissue_mask` takes it: a name, or annotations.
    part : PartChoice
        Which scene and focus plane of slides that have several.
    """

    mpp: float = 0.25
    slide_mpp: float | None = None
    force_mpp: bool = False
    tile_px: int = 1000
    min_tissue: float = 0.1
    mpp_factor: int = 1
    tissue: str = DEFAULT_TISSUE
    part: PartChoice = ANY_PART

    def __post_init__(self) -> None:
        Mpp.parse(self.mpp)
        GivenMpp.parse(self.slide_mpp, self.force_mpp, "slide_mpp")
        whole("tile_px", self.tile_px, MIN_TILE_PX)
        within("min_tissue", self.min_tissue, 0, 1)
        whole("mpp_factor", self.mpp_factor, 1, 8)


class TileGroup(Protocol):
    """Tiles that belong together.

    Attributes
    ----------
    path : Location
        Where they come from.
    identity : str
        Hash of what decides their pixels.
    tile_px : int
        A square of this side is what is taken of a tile; of a smaller tile, the largest square.
    """

    @property
    def path(self) -> Location: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def tile_px(self) -> int: ...  # noqa: D102

    def __len__(self) -> int: ...

    def read(self, index: int) -> RGB:
        """The pixels of a tile, uint8 RGB (row, col, 3), both sides at least `MIN_TILE_PX`. Safe from many threads."""
        ...


@dataclass(frozen=True, slots=True)
class FoundTiles:
    """Where the tiles of a slide lie.

    Attributes
    ----------
    tile_px : int
        Their side.
    boxes : tuple of Box
        In px of the canvas.
    identity : str
        Hash of what decides their pixels.
    """

    tile_px: int
    boxes: tuple[Box, ...]
    identity: str

    @classmethod
    def of(cls, slide: Slide, settings: TileSettings) -> Self:
        """The tissue tiles of a slide, or all tiles of a plain image."""
        canvas, tile_px = _canvas(slide, settings)
        boxes = tile_boxes(canvas.size, tile_px)
        record, known_by = slide.part.record(), identity(slide.path)
        if not slide.is_plain_image:
            mask = tissue_mask(slide, settings.tissue)
            boxes = [b for b in boxes if mask.coverage(canvas.to_level0(b)) >= settings.min_tissue]
            record |= tissue_record(settings.tissue, slide)
        return cls(tile_px, tuple(boxes), digest({"slide": known_by, **record}) if record else known_by)


FindTiles = Callable[[Sequence[Location], TileSettings], Sequence[FoundTiles]]
"""Finds the tiles of several slides, in their order."""


class SlideGroup:
    """Tiles of a slide, read when asked for; those that it has, if nobody has found them."""

    def __init__(
        self, path: Location, settings: TileSettings, pool: SlidePool, found: FoundTiles | None = None
    ) -> None:
        self.path, self._settings, self._pool = path, settings, pool
        if found is None:
            with pool.borrow(path) as slide:
                found = FoundTiles.of(slide, settings)
        self.tile_px, self._boxes, self.identity = found.tile_px, found.boxes, found.identity

    def __len__(self) -> int:
        return len(self._boxes)

    def read(self, index: int) -> RGB:
        """The pixels of a tile."""
        with self._pool.borrow(self.path) as slide:
            return _canvas(slide, self._settings)[0].read(self._boxes[index])


class StoreGroup:
    """The tiles of a store; those at the border that are cut to less than half a tile are left out."""

    def __init__(self, path: Path, settings: TileSettings) -> None:
        self.path, self._store, self.tile_px = path, TileStore.open(path), settings.tile_px
        metadata = self._store.metadata
        if abs(metadata.mpp.mean / settings.mpp - 1) > 0.02:
            raise InputError(
                f"its tiles have {metadata.mpp} µm per px, not {settings.mpp}",
                path=path,
                remedy="Give the same ⟨mpp⟩ to tile and pretrain",
            )
        self._tiles = [tile for tile in self._store if _is_large(tile, metadata.tile_px)]
        self.identity = digest(metadata.to_json())

    def __len__(self) -> int:
        return len(self._tiles)

    def read(self, index: int) -> RGB:
        """The pixels of a tile."""
        tile = self._tiles[index]
        return self._store.read(tile.row, tile.col)


def tile_boxes(extent: Size, tile_px: int) -> list[Box]:
    """The tiles of a grid over `extent`, each whole: one that would leave the extent is moved back inside.

    Where the extent is smaller than a tile, the tile shrinks to its shorter side; none where that is too small.
    """
    side = min(tile_px, extent.width, extent.height)
    if side < MIN_TILE_PX:
        return []
    corners = [tile.core for tile in TileGrid(extent, Size(side, side))]
    moved = [
        core.shift(min(0, extent.width - side - core.x0), min(0, extent.height - side - core.y0)).origin
        for core in corners
    ]
    return [Box.at(origin, Size(side, side)) for origin in dict.fromkeys(moved)]


def _canvas(slide: Slide, settings: TileSettings) -> tuple[Canvas, int]:
    """The canvas to read tiles from, and the side of a tile on it."""
    if slide.is_plain_image:
        return Canvas.at_scale(slide, 1.0), settings.tile_px
    require_detail(slide, Mpp.square(settings.mpp))
    canvas = Canvas(slide, Mpp.square(settings.mpp))
    if min(canvas.scale_x, canvas.scale_y) < settings.mpp_factor * 0.98:
        return canvas, settings.tile_px
    return Canvas(
        slide, Mpp.square(settings.mpp / settings.mpp_factor)
    ), settings.tile_px * settings.mpp_factor


def _is_large(tile: Tile, tile_px: int) -> bool:
    return min(tile.core.width, tile.core.height) >= max(MIN_TILE_PX, tile_px // 2)
