"""Slides through tiffslide: tifffile's formats, OpenSlide's interface.

Tiffslide is imported when a slide is opened, since this module is asked about files that others take in the end.
"""

from __future__ import annotations

import math
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.mpp import NOT_GIVEN, GivenMpp
from wsi_nucssl.slide.base import RGB
from wsi_nucssl.slide.icc import icc_properties
from wsi_nucssl.slide.reader import Reader, SlideMetadata, flatten_alpha, stated_bounds
from wsi_nucssl.slide.readers.tiff_colours import decline_other_than_rgb, decline_stacks
from wsi_nucssl.slide.registry import (
    TIFF_ENDINGS,
    TIFF_MAGIC,
    DeclinedError,
    SlideReader,
    local_path,
    starts_with,
)
from wsi_nucssl.slide.source import Source, closed

_NOT_READ = (
    tifffile.TiffFileError,
    struct.error,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,  # what tiffslide raises for a TIFF that is no plain picture, a stack for instance
)
"""What tiffslide and tifffile raise when they cannot open a file."""


_MAX_STRIP_PX = 1 << 22


class TiffSlideReader(Reader):
    """One lock guards the file: tiffslide's stores are not made to be shared among threads."""

    name = "tiffslide"

    def __init__(self, source: Source, mpp: GivenMpp = NOT_GIVEN) -> None:
        path = local_path(source, self.name)
        decline_other_than_rgb(source, self.name)
        decline_stacks(source, self.name)
        try:
            self._slide, found = _open(path)
        except _NOT_READ as error:
            raise DeclinedError(
                f"tiffslide cannot open it: {error}",
                path=path,
                remedy="Convert it to tiled TIFF, or leave the choice to ⟨reader⟩ auto",
            ) from error
        source.close()
        self._lock = threading.Lock()
        self._closed = False
        sizes = tuple(Size(width, height) for width, height in self._slide.level_dimensions)
        names = tuple(sorted(self._slide.associated_images))
        vendor = found.get("tiffslide.vendor", "generic-tiff")
        bounds = stated_bounds(found, "tiffslide")
        super().__init__(path, SlideMetadata(sizes, vendor, found, names, bounds), mpp)

    def _decode(self, level: int, box: Box) -> RGB:
        if self._closed:
            raise closed(self.path)
        downsample = self._slide.level_downsamples[level]
        # tiffslide truncates location / downsample: the least location that lands on the pixel is its ceiling.
        location = math.ceil(box.x0 * downsample - 1e-6), math.ceil(box.y0 * downsample - 1e-6)
        with self._lock:
            try:
                region = self._slide.read_region(location, level, (box.width, box.height), as_array=True)
            except (*_NOT_READ, RuntimeError, OSError, TypeError, ArithmeticError, MemoryError) as error:
                raise self._damaged(f"level {level} cannot be read at {box}: {error}") from error
        if region.ndim != 3 or region.shape[2] not in (3, 4):
            raise self._unsuitable(f"tiffslide gives its pixels the shape {region.shape}, which is no colour")
        return flatten_alpha(np.asarray(region, np.uint8))

    def _unsuitable(self, what: str) -> SlideError:
        return SlideError(what, path=str(self.path), remedy="Convert it to 8-bit RGB, tiled TIFF")

    def _decode_associated(self, name: str) -> RGB:
        with self._lock:
            return flatten_alpha(np.asarray(self._slide.associated_images[name].convert("RGB")))

    def close(self) -> None:
        """Give back the file handle. Closing twice is fine."""
        with self._lock:
            self._slide.close()
            self._closed = True


READER = SlideReader(starts_with(*TIFF_MAGIC), TiffSlideReader, TIFF_ENDINGS)


def _open(path: Path) -> tuple[Any, dict[str, str]]:
    import tiffslide

    slide = tiffslide.TiffSlide(path)
    try:
        _check_strips(slide, path)
        found = {key: str(value) for key, value in slide.properties.items() if value is not None}
        return slide, found | icc_properties(slide.ts_tifffile.pages.first.iccprofile or b"")
    except (*_NOT_READ, DeclinedError):
        slide.close()
        raise


def _check_strips(slide: Any, path: Path) -> None:
    """Refuse strips that take long to decode: tiffslide decodes one anew for each region that touches it."""
    for page in slide.ts_tifffile.pages:
        rows, cols = page.aspage().chunks[:2]
        if not page.is_tiled and rows * cols > _MAX_STRIP_PX:
            raise DeclinedError(
                f"its strips of {cols} × {rows} px are decoded as a whole for every window",
                path=path,
                remedy="Convert it to a tiled TIFF, for instance with: vips tiffsave IN OUT.tif --tile --pyramid",
            )
