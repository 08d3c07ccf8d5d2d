"""A plain image (PNG, JPEG, TIFF, WebP) as a slide of one level."""

from __future__ import annotations

import struct
import warnings
import zlib

import numpy as np
from PIL import Image, UnidentifiedImageError

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.mpp import NOT_GIVEN, GivenMpp
from wsi_nucssl.slide.base import RGB
from wsi_nucssl.slide.reader import Reader, SlideMetadata, flatten_alpha
from wsi_nucssl.slide.readers import strict_jpeg
from wsi_nucssl.slide.readers.tiff_colours import refuse_what_pillow_cuts
from wsi_nucssl.slide.registry import IMAGE_MAGIC, TIFF_MAGIC, DeclinedError, SlideReader, starts_with
from wsi_nucssl.slide.source import Source, as_file

_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"}
_MAX_PX = 150_000_000
_TIFF_TAGS = {282: "tiff.XResolution", 283: "tiff.YResolution"}
_TIFF_RESOLUTION_UNIT = 296
_UNITS = {2: "inch", 3: "centimeter"}


class ImageReader(Reader):
    """The image is decoded once, on opening, and held: 3 bytes a pixel."""

    name = "image"
    is_plain_image = True

    def __init__(self, source: Source, mpp: GivenMpp = NOT_GIVEN) -> None:
        self._pixels, properties = _load(source)
        source.close()
        height, width = self._pixels.shape[:2]
        metadata = SlideMetadata((Size(width, height),), "image", properties, ())
        super().__init__(source.location, metadata, mpp)

    def _decode(self, level: int, box: Box) -> RGB:  # noqa: ARG002 - an image has one level
        return self._pixels[box.rc].copy()

    def _decode_associated(self, name: str) -> RGB:
        raise KeyError(name)

    def close(self) -> None:
        """Let go of the pixels' file; the file itself was closed on opening."""


def _load(source: Source) -> tuple[RGB, dict[str, str]]:
    path, file = str(source.location), as_file(source)
    refuse_what_pillow_cuts(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error", UserWarning
            )  # what Pillow says of a file that it does not wholly read
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=_FORMATS)
        with image:
            _check(image, path)
            _check_whole(source, str(image.format))
            properties = {"image.format": str(image.format), **_tiff_resolution(image)}
            return flatten_alpha(
                np.asarray(image.convert("RGBA" if _has_alpha(image) else "RGB"))
            ), properties
    except UserWarning as warning:
        raise DeclinedError(
            f"Pillow does not read all of it: {warning}",
            path=path,
            remedy="Convert it to 8-bit RGB, tiled TIFF",
        ) from warning
    except UnidentifiedImageError as error:
        raise DeclinedError(
            "it is no image that can be read",
            path=path,
            remedy="Give a slide, or a PNG, JPEG, TIFF or WebP image",
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, str(error)) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise SlideError(
            f"the image is damaged: {error}", path=path, remedy="Copy or export it again"
        ) from error


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
    if image.mode not in _MODES:
        raise DeclinedError(
            f"it is no 8-bit colour image (mode {image.mode})", path=path, remedy="Convert it to 8-bit RGB"
        )


def _too_large(path: str, detail: str) -> DeclinedError:
    return DeclinedError(
        f"the image is too large to be held whole ({detail})",
        path=path,
        remedy="Convert it to a tiled TIFF, for instance with: vips tiffsave IN OUT.tif --tile --pyramid",
    )


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in {"LA", "RGBA"} or "transparency" in image.info


def _tiff_resolution(image: Image.Image) -> dict[str, str]:
    if image.format != "TIFF":
        return {}
    tags = image.getexif()
    found = {name: str(float(tags[tag])) for tag, name in _TIFF_TAGS.items() if tag in tags}
    unit = _UNITS.get(tags.get(_TIFF_RESOLUTION_UNIT, 0))
    return {**found, "tiff.ResolutionUnit": unit} if unit else found


READER = SlideReader(starts_with(*IMAGE_MAGIC, *TIFF_MAGIC), ImageReader)
