"""What lies under a result: the slide or the image that its nuclei were found on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from wsi_nucssl.geometry import Box
from wsi_nucssl.locations import Location
from wsi_nucssl.resample import RGB, resample, resampled_length, triangle_taps
from wsi_nucssl.slide import Canvas, Slide, open_slide
from wsi_nucssl.slide.part import ANY_PART, PartChoice


class Picture(Protocol):
    """Pixels under a result, read when they are wanted; it pickles."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def read(self, region: Box, max_side: int) -> RGB:
        """A level-0 box in at most about `max_side` px a side, uint8 RGB (row, col, 3); enlarged never."""
        ...


@dataclass(frozen=True, slots=True)
class SlidePicture:
    """A slide, opened again for each picture.

    Attributes
    ----------
    path : Location
        The slide's.
    reader : str
        The backend that read it.
    part : PartChoice
        Which image of the file it is.
    """

    path: Location
    reader: str
    part: PartChoice = ANY_PART

    @classmethod
    def of(cls, slide: Slide) -> Self:
        """That of an open slide."""
        path = slide.path.absolute() if isinstance(slide.path, Path) else slide.path
        return cls(path, slide.reader, slide.part.choice)

    @property
    def name(self) -> str:
        """The file's."""
        return self.path.name

    def read(self, region: Box, max_side: int) -> RGB:
        """See `Picture.read`."""
        scale = _scale(region, max_side)
        scene, focus = self.part.scene, self.part.focus
        with open_slide(self.path, reader=self.reader, scene=scene, focus=focus) as slide:
            return Canvas.at_scale(slide, scale).read(region.in_px_of(scale, scale))


@dataclass(frozen=True, slots=True, eq=False)
class ArrayPicture:
    """An RGB image (row, col, 3) in memory."""

    image: RGB
    name: str = "image"

    def read(self, region: Box, max_side: int) -> RGB:
        """See `Picture.read`."""
        rows, cols = self.image.shape[:2]
        part = np.ascontiguousarray(self.image[region.clip(Box(0, 0, cols, rows)).rc])
        scale = _scale(region, max_side)
        if scale == 1:
            return part
        height, width = (resampled_length(side, scale) for side in part.shape[:2])
        taps = triangle_taps(0, height, scale, part.shape[0]), triangle_taps(0, width, scale, part.shape[1])
        return resample(part, *taps)


def _scale(region: Box, max_side: int) -> float:
    return max(1.0, max(region.width, region.height) / max_side)
