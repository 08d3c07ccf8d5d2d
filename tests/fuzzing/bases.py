"""Sound slides of many kinds, made from the sample slide's pixels: what mutations begin with."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[Any]
_WIDTH, _HEIGHT, _TILE = 300, 260, 128
_RESOLUTION: Final = {"resolution": (40_000, 40_000), "resolutionunit": "CENTIMETER"}
_APERIO: Final = (
    f"Aperio Image Library v12.0\r\n{_WIDTH}x{_HEIGHT} (128x128) JPEG/RGB Q=90|AppMag = 40|MPP = 0.25"
)


def sample_pixels() -> Pixels:
    """RGB from the middle of the sample slide, uint8 (row, col, 3)."""
    with tifffile.TiffFile(Path(__file__).parents[2] / "sample_slides" / "sample.svs") as tiff:
        whole = tiff.pages[0].asarray()
    top, left = whole.shape[0] // 2, whole.shape[1] // 2
    return np.ascontiguousarray(whole[top : top + _HEIGHT, left : left + _WIDTH])


def _tiff(
    image: Pixels, *, levels: int = 1, big: bool = False, order: Literal["<", ">"] = "<", **how: Any
) -> bytes:
    file = io.BytesIO()
    options = {"tile": (_TILE, _TILE), "photometric": "rgb", "metadata": None, **_RESOLUTION, **how}
    with tifffile.TiffWriter(file, bigtiff=big, byteorder=order) as tiff:
        for level in range(levels):
            step = 1 << level
            tiff.write(np.ascontiguousarray(image[::step, ::step]), subfiletype=min(level, 1), **options)
            options.pop("description", None)
    return file.getvalue()


def _ome(image: Pixels) -> bytes:
    file = io.BytesIO()
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    with tifffile.TiffWriter(file, ome=True) as tiff:
        common: dict[str, Any] = {"photometric": "rgb", "tile": (_TILE, _TILE), "compression": "deflate"}
        tiff.write(image, subifds=1, metadata=metadata, **common)
        tiff.write(np.ascontiguousarray(image[::2, ::2]), subfiletype=1, **common)
    return file.getvalue()


def _plain(image: Pixels, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **how)
    return file.getvalue()


def _grey(image: Pixels) -> Pixels:
    return np.ascontiguousarray(image[..., 1])


_RGB_JPEG: Final[dict[str, Any]] = {
    "compression": "jpeg",
    "compressionargs": {"level": 90, "outcolorspace": "rgb"},
}
_STRIPS: Final[dict[str, Any]] = {"tile": None, "rowsperstrip": 37}

BASES: Final[dict[str, Callable[[Pixels], bytes]]] = {
    "aperio_jpeg": partial(_tiff, levels=2, description=_APERIO, **_RGB_JPEG),
    "jpeg_ycbcr": partial(_tiff, compression="jpeg", compressionargs={"level": 90}),
    "deflate_pyramid": partial(_tiff, levels=3, compression="deflate", predictor=True),
    "lzw": partial(_tiff, compression="lzw", predictor=True),
    "zstd": partial(_tiff, levels=2, compression="zstd"),
    "jpeg2000": partial(_tiff, compression="jpeg2000", compressionargs={"reversible": True}),
    "webp": partial(_tiff, compression="webp", compressionargs={"lossless": True}),
    "big_endian_bigtiff": partial(_tiff, levels=2, big=True, order=">", compression="deflate"),
    "uncompressed": partial(_tiff, levels=2),
    "strips_lzw": partial(_tiff, compression="lzw", **_STRIPS),
    "strips_uncompressed": partial(_tiff, **_STRIPS),
    "grey": lambda image: _tiff(_grey(image), photometric="minisblack", compression="deflate"),
    "grey16": lambda image: _tiff(
        _grey(image).astype(np.uint16) * 257, photometric="minisblack", compression="deflate"
    ),
    "ome_subifds": _ome,
    "plain_jpeg": partial(_plain, kind="JPEG", quality=90),
    "plain_png": partial(_plain, kind="PNG"),
}
"""By name: the bytes of a sound slide of that kind."""
