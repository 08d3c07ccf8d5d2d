"""Pictures that say who made them, so that one of ours in a folder of slides is not taken for a slide."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.errors import UsageError
from wsi_nucssl.files import read_head

_HEADER_BYTES: Final = 33
"""The signature of a PNG and its first chunk, IHDR."""
_NAME: Final = b"wsi-nucssl"
_MARK: Final = b"tEXtSoftware\0" + _NAME
_WEBP_MARK: Final = b"MADE" + len(_NAME).to_bytes(4, "little") + _NAME
_LOOKED_AT: Final = 512
"""Bytes at a picture's beginning among which its mark stands."""
_QUALITY: Final = 92


def png(image: NDArray[Any]) -> bytes:
    """A picture as a PNG, uint8 (row, col) or (row, col, 3), whose text says that this package wrote it."""
    import imagecodecs

    plain = bytes(imagecodecs.png_encode(np.ascontiguousarray(image)))
    length, check = (len(_MARK) - 4).to_bytes(4, "big"), zlib.crc32(_MARK).to_bytes(4, "big")
    return plain[:_HEADER_BYTES] + length + _MARK + check + plain[_HEADER_BYTES:]


def jpeg(image: NDArray[Any]) -> bytes:
    """A picture as a JPEG, marked by a comment."""
    import imagecodecs

    plain = bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(image), level=_QUALITY))
    comment = b"\xff\xfe" + (len(_NAME) + 2).to_bytes(2, "big") + _NAME
    return plain[:2] + comment + plain[2:]


def tiff(image: NDArray[Any]) -> bytes:
    """A picture as a TIFF, compressed without loss and marked by its Software."""
    import tifffile

    file = io.BytesIO()
    kind = "rgb" if image.ndim == 3 else "minisblack"
    tifffile.imwrite(
        file, image, photometric=kind, compression="zlib", software=_NAME.decode(), metadata=None
    )
    return file.getvalue()


def webp(image: NDArray[Any]) -> bytes:
    """A picture as a WebP without loss, marked by a chunk at its end that decoders pass over."""
    import imagecodecs

    plain = bytes(imagecodecs.webp_encode(np.ascontiguousarray(image), lossless=True))
    chunks = plain[8:] + _WEBP_MARK
    return plain[:4] + len(chunks).to_bytes(4, "little") + chunks


ENCODERS: Final[dict[str, Callable[[NDArray[Any]], bytes]]] = {
    ".png": png,
    ".jpg": jpeg,
    ".jpeg": jpeg,
    ".tif": tiff,
    ".tiff": tiff,
    ".webp": webp,
}
"""By a file name's ending, in small letters."""


def encoder_of(path: Path) -> Callable[[NDArray[Any]], bytes]:
    """What makes the bytes of a picture with this name.

    Raises
    ------
    UsageError
        No picture has such an ending.
    """
    if path.suffix.lower() not in ENCODERS:
        raise UsageError(
            f"no picture ends in {path.suffix or 'nothing'}",
            path=path,
            remedy=f"Give a name that ends in {', '.join(ENCODERS)}",
        )
    return ENCODERS[path.suffix.lower()]


def is_ours(path: Path) -> bool:
    """True for a file that one of `ENCODERS` made."""
    ending = path.suffix.lower()
    if ending == ".webp":
        return _ends_in(path, _WEBP_MARK)
    if ending == ".png":
        return _MARK in read_head(path, 2 * _HEADER_BYTES)
    return ending in ENCODERS and _NAME in read_head(path, _LOOKED_AT)


def _ends_in(path: Path, mark: bytes) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-len(mark), os.SEEK_END)
            return file.read() == mark
    except OSError:
        return False
