"""Image files to RGB arrays, by content and not by extension."""

from __future__ import annotations

import struct
from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import tifffile
from numpy.typing import NDArray

from wsi_nucssl.datasets.sample import Image
from wsi_nucssl.errors import DatasetError, SlideError
from wsi_nucssl.geometry import Box, Point
from wsi_nucssl.slide import open_slide

IMAGE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp"})

_DAMAGED = (RuntimeError, ValueError, IndexError, TypeError, ZeroDivisionError, MemoryError, struct.error)
"""What imagecodecs and tifffile raise on files that are cut off or otherwise damaged, such as in their stated size."""
TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def ending_of(path: Path, endings: Collection[str]) -> str:
    """Which of these endings, such as ".png" or ".geojson.gz", a file's name has; "" if none."""
    name = path.name.lower()
    return max((ending for ending in endings if name.endswith(ending)), key=len, default="")


def read_rgb(path: Path) -> Image:
    """Read a PNG, TIFF, JPEG or WebP image as uint8 RGB (row, col, 3); transparency is composited on white.

    Damage is an error and colours are converted as for slides: grey, palette, CMYK, deeper samples.

    Raises
    ------
    DatasetError
        The file is damaged, of another format, or its colours are not certain.
    """
    try:
        with open_slide(path, reader="image") as picture:
            return picture.read_level(0, Box.at(Point(0, 0), picture.dimensions))
    except SlideError as error:
        raise DatasetError(
            f"the image cannot be decoded ({error.what})", path=path, remedy=error.remedy
        ) from error


def read_pixels(path: Path) -> NDArray[Any]:
    """Read the pixels of an image file as they are stored: (row, col[, channel]), any dtype.

    Raises
    ------
    DatasetError
        The file is damaged or of another format.
    """
    data = path.read_bytes()
    try:
        pixels: NDArray[Any] = _decode(data)
    except _DAMAGED as error:
        raise DatasetError(
            f"the image cannot be decoded ({error})", path=path, remedy="Download or export it again"
        ) from error
    return pixels


def tiff_shape(path: Path) -> tuple[int, ...]:
    """The shape that the first page of a TIFF states, before anything is decoded: (row, col[, channel]).

    Raises
    ------
    DatasetError
        The file is damaged.
    """
    try:
        with tifffile.TiffFile(path) as file:
            shape: tuple[int, ...] = file.pages.first.shape
    except _DAMAGED as error:
        raise DatasetError(
            f"the image cannot be decoded ({error})", path=path, remedy="Download or export it again"
        ) from error
    return shape


def _decode(data: bytes) -> NDArray[Any]:
    if data.startswith(b"\x89PNG"):
        return imagecodecs.png_decode(data)
    if data.startswith(b"\xff\xd8"):
        if not data.rstrip(b"\0\r\n").endswith(b"\xff\xd9"):
            # libjpeg would fill the rest with grey and say nothing
            raise ValueError("the JPEG is cut off: no end marker")
        return imagecodecs.jpeg8_decode(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return imagecodecs.webp_decode(data)
    if data.startswith(TIFF_MAGIC):
        return tifffile.imread(BytesIO(data), key=0)
    raise ValueError("it is neither PNG, JPEG, WebP nor TIFF")
