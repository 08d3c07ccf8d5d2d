"""What there is to know about a slide before work begins on it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.geometry import Mpp, Size
from wsi_nucssl.grid import TileGrid
from wsi_nucssl.slide.base import RGB, Slide
from wsi_nucssl.slide.canvas import Canvas
from wsi_nucssl.slide.fingerprint import identity
from wsi_nucssl.slide.icc import PROFILE
from wsi_nucssl.slide.tissue import TissueMask, tissue_mask

TILE_PX = 1000
MIN_TISSUE = 0.1
_OUTLINE = (0, 140, 60)
_GLASS_DIM = 0.55


@dataclass(frozen=True, slots=True)
class LevelInfo:
    """Size in px and downsample of one level."""

    width: int
    height: int
    downsample: float


@dataclass(frozen=True, slots=True)
class SlideInfo:
    """All plain values: `to_dict` goes straight into JSON.

    `bounds_l0` is (x, y, width, height). `icc_profile` names the file's profile, "" if there is none. `scenes` are the
    names of the file's scenes, where its reader tells them apart, of which `scene` is this one, as plane `focus` of
    `focus_planes`. `tiles` counts the 1000-px tiles at `model_mpp` that hold at least 10 %
    tissue; None where either resolution is unknown, as are `tissue_mm2` and `mpp_x`, `mpp_y`.
    """

    path: str
    identity: str
    reader: str
    vendor: str
    width: int
    height: int
    levels: tuple[LevelInfo, ...]
    mpp_x: float | None
    mpp_y: float | None
    mpp_source: str
    bounds_l0: tuple[int, int, int, int]
    associated_images: tuple[str, ...]
    icc_profile: str
    scenes: tuple[str, ...]
    scene: int
    focus_planes: int
    focus: int
    tissue_fraction: float
    tissue_mm2: float | None
    model_mpp: float | None
    tiles: int | None

    def to_dict(self) -> dict[str, object]:
        """Nested dicts, lists, strings and numbers."""
        return dataclasses.asdict(self)


def describe(slide: Slide, model_mpp: float | None = None, *, mask: TissueMask | None = None) -> SlideInfo:
    """Collect a slide's metadata.

    Parameters
    ----------
    slide : Slide
        The slide.
    model_mpp : float, optional
        µm per px that a model works at, for the tile count.
    mask : TissueMask, optional
        Its tissue mask, where it is known already; else it is found here.
    """
    mask = mask or tissue_mask(slide)
    tiles = None if model_mpp is None or slide.mpp is None else _count_tiles(slide, mask, model_mpp)
    bounds = slide.bounds
    return SlideInfo(
        path=str(slide.path),
        identity=identity(slide),
        reader=slide.reader,
        vendor=slide.vendor,
        width=slide.dimensions.width,
        height=slide.dimensions.height,
        levels=tuple(LevelInfo(lv.size.width, lv.size.height, lv.downsample) for lv in slide.levels),
        mpp_x=slide.mpp.x if slide.mpp else None,
        mpp_y=slide.mpp.y if slide.mpp else None,
        mpp_source=slide.mpp_source,
        bounds_l0=(bounds.x0, bounds.y0, bounds.width, bounds.height),
        associated_images=slide.associated_images,
        icc_profile=slide.properties.get(PROFILE, ""),
        scenes=slide.part.scenes,
        scene=slide.part.scene,
        focus_planes=slide.part.planes,
        focus=slide.part.plane,
        tissue_fraction=mask.fraction,
        tissue_mm2=mask.area_mm2,
        model_mpp=model_mpp,
        tiles=tiles,
    )


def thumbnail_with_mask(slide: Slide, mask: TissueMask, max_side: int = 1024) -> RGB:
    """The slide in at most `max_side` px a side: glass dimmed, tissue outlined. uint8 RGB (row, col, 3)."""
    canvas = Canvas.within(slide, max_side)
    image = canvas.read_whole()
    tissue = canvas.look_up(mask.mask, mask.scale, canvas.box)
    outline = tissue & ~_eroded(tissue)
    image[~tissue] = (image[~tissue] * _GLASS_DIM).astype(np.uint8)
    image[outline] = _OUTLINE
    return image


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is left after two waves from outside the mask, and outside the picture, over 4-neighbours."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inner = cv2.erode(mask.view(np.uint8), cross, iterations=2, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(inner, np.bool_)


def _count_tiles(slide: Slide, mask: TissueMask, model_mpp: float) -> int:
    canvas = Canvas(slide, Mpp.square(model_mpp))
    tiles = TileGrid(canvas.size, Size(TILE_PX, TILE_PX))
    return sum(mask.coverage(canvas.to_level0(tile.core)) >= MIN_TISSUE for tile in tiles)
