"""PNGs that say who made them, so that a picture of ours in a folder of slides is not taken for one."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.files import read_head

_HEADER_BYTES: Final = 33
"""The signature of a PNG and its first chunk, IHDR."""
_MARK: Final = b"tEXtSoftware\0wsi-nucssl"


def png(image: NDArray[Any]) -> bytes:
    """A picture as a PNG, uint8 (row, col) or (row, col, 3), whose text says that this package wrote it."""
    import imagecodecs

    plain = bytes(imagecodecs.png_encode(np.ascontiguousarray(image)))
    length, check = (len(_MARK) - 4).to_bytes(4, "big"), zlib.crc32(_MARK).to_bytes(4, "big")
    return plain[:_HEADER_BYTES] + length + _MARK + check + plain[_HEADER_BYTES:]


def is_ours(path: Path) -> bool:
    """True for a file that `png` made."""
    return path.suffix.lower() == ".png" and _MARK in read_head(path, 2 * _HEADER_BYTES)
