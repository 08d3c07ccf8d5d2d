"""A plain image (PNG, JPEG, TIFF, WebP) as a slide of one level."""

from __future__ import annotations

import struct
import warnings
import zlib

import imagecodecs
import numpy as np
from PIL import Image, UnidentifiedImageError

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box, Point, Size
from wsi_nucssl.mpp import NOT_GIVEN, GivenMpp
from wsi_nucssl.photometric import CMYK, Encoding, plain_rgb, to_rgb
from wsi_nucssl.slide.base import RGB
from wsi_nucssl.slide.icc import icc_properties
from wsi_nucssl.slide.part import ANY_PART, WHOLE_FILE, Part, PartChoice
from wsi_nucssl.slide.reader import Reader, SlideMetadata, flatten_alpha
from wsi_nucssl.slide.readers import strict_jpeg
from wsi_nucssl.slide.readers.tiff import TiffReader
from wsi_nucssl.slide.registry import (
    IMAGE_MAGIC,
    PICTURE_ENDINGS,
    TIFF_MAGIC,
    DeclinedError,
    SlideReader,
    starts_with,
)
from wsi_nucssl.slide.source import Source, as_file

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"}
_MAX_PX = 150_000_000
_PNG_DEPTH_AT, _DEEP = 24, 16


class ImageReader(Reader):
    """The image is decoded once, on opening, and held: 3 bytes a pixel."""

    name = "image"
    is_plain_image = True

    def __init__(self, source: Source, mpp: GivenMpp = NOT_GIVEN, choice: PartChoice = ANY_PART) -> None:
        self._pixels, properties, part = (
            _load_tiff(source, choice) if _is_tiff(source) else _load(source, choice)
        )
        source.close()
        height, width = self._pixels.shape[:2]
        metadata = SlideMetadata((Size(width, height),), "image", properties, (), part=part)
        super().__init__(source.location, metadata, mpp)

    def _decode(self, level: int, box: Box) -> RGB:  # noqa: ARG002 - an image has one level
        return self._pixels[box.rc].copy()

    def _decode_associated(self, name: str) -> RGB:
        raise KeyError(name)

    def close(self) -> None:
        """Let go of the pixels' file; the file itself was closed on opening."""


def _load(source: Source, choice: PartChoice) -> tuple[RGB, dict[str, str], Part]:
    path, file = str(source.location), as_file(source)
    choice.scene_of(("",), path)
    choice.plane_of(1, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=_FORMATS)
        with image:
            _check(image, path)
            _check_whole(source, str(image.format))
            properties = {
                "image.format": str(image.format),
                **icc_properties(image.info.get("icc_profile") or b""),
            }
            return _colours(image, source), properties, WHOLE_FILE
    except UnidentifiedImageError as error:
        raise DeclinedError(
            "it is no image that can be read",
            path=path,
            remedy="Give a slide, or a PNG, JPEG, TIFF or WebP image",
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, str(error)) from error
    except (OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, zlib.error) as error:
        raise SlideError(
            f"the image is damaged: {error}", path=path, remedy="Copy or export it again"
        ) from error


def _load_tiff(source: Source, choice: PartChoice) -> tuple[RGB, dict[str, str], Part]:
    slide = TiffReader(source, choice=choice, max_tile_px=_MAX_PX)
    if slide.dimensions.area > _MAX_PX:
        raise _too_large(str(source.location), f"{slide.dimensions} px")
    pixels = slide.read_level(0, Box.at(Point(0, 0), slide.dimensions))
    return pixels, {"image.format": "TIFF", **slide.properties}, slide.part


def _colours(image: Image.Image, source: Source) -> RGB:
    if image.format == "PNG" and source.read_at(_PNG_DEPTH_AT, 1)[0] == _DEEP:  # Pillow would cut off bits
        return plain_rgb(imagecodecs.png_decode(source.read_at(0, source.size)))
    if image.mode == "CMYK":  # as Adobe stores it, which Pillow has turned round
        return to_rgb(np.asarray(image), Encoding(CMYK))
    return flatten_alpha(np.asarray(image.convert("RGBA" if _has_alpha(image) else "RGB")))


def _check_whole(source: Source, kind: str) -> None:
    """Refuse what Pillow reads in spite of damage: a JPEG with warnings, a PNG whose checksums are wrong."""
    if kind == "JPEG":
        strict_jpeg.check_whole(source.read_at(0, source.size))
    elif kind == "PNG":
        check_png(source.read_at(0, source.size))
    elif kind == "WEBP":
        (size,) = struct.unpack("<I", source.read_at(4, 4))
        if size + 8 > source.size:
            raise ValueError(f"it ends at byte {source.size}, before {size + 8}")


def check_png(data: bytes) -> None:
    """Refuse a PNG with a wrong checksum, or without its end: https://www.w3.org/TR/png/#5Chunk-layout.

    Raises
    ------
    ValueError
        It is damaged.
    """
    at = len(IMAGE_MAGIC[0])
    while at + 12 <= len(data):
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            break
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ValueError(f"the checksum of its part {kind!r} at byte {at} is wrong")
        if kind == b"IEND":
            return
        at = end
    raise ValueError(f"it ends at byte {len(data)}, before its last part")


def _check(image: Image.Image, path: str) -> None:
    if image.width * image.height > _MAX_PX:
        raise _too_large(path, f"{image.width} × {image.height} px")
    if image.mode not in _MODES and image.format != "PNG":
        raise DeclinedError(
            f"its colours are not known (mode {image.mode})", path=path, remedy="Convert it to 8-bit RGB"
        )


def _too_large(path: str, detail: str) -> DeclinedError:
    return DeclinedError(
        f"the image is too large to be held whole ({detail})",
        path=path,
        remedy="Convert it to a tiled TIFF, for instance with: vips tiffsave IN OUT.tif --tile --pyramid",
    )


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info


_is_tiff = starts_with(*TIFF_MAGIC)
READER = SlideReader(
    starts_with(*IMAGE_MAGIC, *TIFF_MAGIC), ImageReader, (*PICTURE_ENDINGS, ".tif", ".tiff"), ImageReader
)
