"""YCbCr of which the colours are stored at fewer places than the brightness, as TIFF packs it without JPEG."""

from __future__ import annotations

from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsi_nucssl.slide.readers.tiff_encoding import subsampling
from wsi_nucssl.slide.readers.tiff_segments import Decoder, SegmentDamage, segment_shape


def subsampled_decoder(page: tifffile.TiffPage) -> Decoder:
    """How segments of such a page become (row, col, 3) YCbCr samples: each colour stands for its block of pixels.

    A block is stored as its brightnesses, row by row, then Cb, then Cr (TIFF 6.0, section 21).
    """
    across, down = subsampling(page)
    decompress = None if page.compression == 1 else tifffile.TIFF.DECOMPRESSORS[page.compression]

    def decode(data: bytes, index: int) -> NDArray[Any]:
        rows, cols, _ = segment_shape(page, index)
        shape = -(-rows // down), -(-cols // across), across * down + 2
        wanted = shape[0] * shape[1] * shape[2]
        raw = data if decompress is None else decompress(data, out=wanted + 1)
        if len(raw) != wanted:
            raise SegmentDamage(f"it holds {len(raw)} bytes of pixels instead of {wanted}")
        blocks = np.frombuffer(raw, np.uint8).reshape(shape)
        luma = blocks[..., :-2].reshape(*shape[:2], down, across).swapaxes(1, 2)
        whole = [luma.reshape(shape[0] * down, shape[1] * across)]
        whole += [blocks[..., plane].repeat(down, 0).repeat(across, 1) for plane in (-2, -1)]
        return np.stack(whole, axis=2)[:rows, :cols]

    return decode
