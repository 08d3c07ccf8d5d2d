"""Stored tiles and strips of a TIFF become arrays, or a word about what is wrong with them.

tifffile's own decoders stretch, cut and fill what has another size than it should; here that is damage.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from wsi_nucssl.slide.readers import strict_jpeg

Decoder = Callable[[bytes, int], NDArray[Any]]
"""A segment's bytes and index → (rows, cols, samples) in the page's own type."""

DAMAGE: Final = (RuntimeError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError)
"""What codecs raise."""

_UNCOMPRESSED: Final = 1
_LOWEST_BIT_FIRST: Final = 2
_LZW, _LZW_END = 5, 257
_JPEG: Final = 7
_IMAGES: Final = {33003, 33004, 33005, 34712, 50001, 34933, 34934, 22610, 50002, 52546}
"""Codecs that state a size of their own: JPEG 2000, WebP, PNG, JPEG XR, JPEG XL."""


_JPEG_XL: Final = {50002, 52546}
"""They get a place of the page's size to decode into, and fail where that is not theirs."""


class SegmentDamage(ValueError):
    """A stored tile does not decode to what its page says."""


def strict_decoder(page: tifffile.TiffPage) -> Decoder:
    """How the segments of a page are decoded."""
    if page.compression == _JPEG:
        return _jpeg_decoder(page)
    if page.compression in _IMAGES:
        return _image_decoder(page)
    return _raw_decoder(page)


def segment_shape(page: tifffile.TiffPage, index: int) -> tuple[int, int, int]:
    """(rows, cols, samples) of a segment; a last strip may be short."""
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    if page.is_tiled:
        return page.tilelength, page.tilewidth, samples
    rows = min(page.rowsperstrip, page.imagelength)
    strips = -(-page.imagelength // rows)
    return min(rows, page.imagelength - index % strips * rows), page.imagewidth, samples


def _shapes(page: tifffile.TiffPage, index: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The shape that is wanted, and the one that may be stored instead: a last strip at full length."""
    wanted = segment_shape(page, index)
    rows = wanted[0] if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    return wanted, (rows, *wanted[1:])


def _jpeg_decoder(page: tifffile.TiffPage) -> Decoder:
    as_is = page.photometric != 6 and not page.is_jfif
    tables, whole_tile = page.jpegtables, segment_shape(page, 0)
    is_tiled = page.is_tiled

    def decode(data: bytes, index: int) -> NDArray[Any]:
        wanted, stored = (whole_tile, whole_tile) if is_tiled else _shapes(page, index)
        shapes = (wanted[:2], stored[:2])
        return strict_jpeg.decode(data, tables, shapes, wanted[2], stored_as_is=as_is)[: wanted[0]]

    return decode


def _image_decoder(page: tifffile.TiffPage) -> Decoder:
    """Codecs that state their size: it is held against the page's before memory is taken, and once decoded."""
    decompress = tifffile.TIFF.DECOMPRESSORS[page.compression]
    options = {"hasalpha": True} if page.compression == 50001 and page.samplesperpixel == 4 else {}

    def decode(data: bytes, index: int) -> NDArray[Any]:
        wanted, stored = _shapes(page, index)
        stated = _stated_size(data)
        if stated is not None and stated not in (wanted[:2], stored[:2]):
            raise SegmentDamage(
                f"it states {stated[1]} × {stated[0]} px instead of {wanted[1]} × {wanted[0]}"
            )
        if page.compression in _JPEG_XL:
            return _into_place(decompress, data, wanted, stored, page.dtype)
        pixels = np.atleast_3d(decompress(data, **options))
        if pixels.shape not in (wanted, stored):
            raise SegmentDamage(f"it holds {_words(pixels.shape)} instead of {_words(wanted)}")
        if pixels.dtype != page.dtype:
            raise SegmentDamage(f"it holds samples of {pixels.dtype} instead of {page.dtype}")
        return pixels[: wanted[0]]

    return decode


def _into_place(
    decompress: Callable[..., Any], data: bytes, wanted: tuple[int, ...], stored: tuple[int, ...], kind: Any
) -> NDArray[Any]:
    """A last strip is as long as the others or as its rows: whichever place it fits."""
    try:
        return np.atleast_3d(decompress(data, out=np.empty(wanted, kind)))
    except ValueError:
        if stored == wanted:
            raise
        return np.atleast_3d(decompress(data, out=np.empty(stored, kind)))[: wanted[0]]


def _raw_decoder(page: tifffile.TiffPage) -> Decoder:
    """Codecs of bytes: as many must come out as the tile takes."""
    decompress = None if page.compression == _UNCOMPRESSED else tifffile.TIFF.DECOMPRESSORS[page.compression]
    bits = page.bitspersample

    def decode(data: bytes, index: int) -> NDArray[Any]:
        wanted, stored = _shapes(page, index)
        sizes = [rows * -(-cols * samples * bits // 8) for rows, cols, samples in (wanted, stored)]
        if page.fillorder == _LOWEST_BIT_FIRST:
            data = bytes(imagecodecs.bitorder_decode(data))
        raw = data if decompress is None else decompress(data, out=max(sizes) + 1)
        if len(raw) not in sizes:
            raise SegmentDamage(f"it holds {len(raw)} bytes of pixels instead of {sizes[0]}")
        if page.compression == _LZW:
            _check_lzw_end(data, raw)
        shape = (len(raw) // (sizes[0] // wanted[0]), *wanted[1:])
        if bits not in (8, 16, 32, 64):
            kind = np.uint8 if bits < 8 else np.uint16 if bits < 16 else np.uint32
            unpacked = imagecodecs.packints_decode(raw, kind, bits, runlen=wanted[1] * wanted[2])
            return np.asarray(unpacked).reshape(shape)[: wanted[0]]
        return _unpredicted(page, raw, shape)[: wanted[0]]

    return decode


def _check_lzw_end(data: bytes, raw: bytes) -> None:
    """Refuse a stream whose last code is cut: its decoder fills in zeros, and what follows would change the pixels.

    Most streams end with the code 257, and at most seven bits after it; some writers leave it out.
    """
    tail = int.from_bytes(data[-3:])
    if any(tail >> pad & 0x1FF == _LZW_END and not tail & ((1 << pad) - 1) for pad in range(8)):
        return
    if tifffile.TIFF.DECOMPRESSORS[_LZW](data + b"\xff\xff", out=len(raw)) != raw:
        raise SegmentDamage("its LZW stream ends inside a code")


def _unpredicted(page: tifffile.TiffPage, raw: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
    kind = np.dtype(page.dtype)
    stored = kind if page.predictor == 3 else kind.newbyteorder(page.parent.byteorder)
    pixels = np.frombuffer(raw, stored).reshape(shape)
    if page.predictor != 1:
        pixels = tifffile.TIFF.UNPREDICTORS[page.predictor](pixels, axis=-2)
    return pixels.astype(kind.newbyteorder("="), copy=False)


def _stated_size(data: bytes) -> tuple[int, int] | None:
    """(rows, cols) that a PNG, JPEG 2000 or WebP header states; None for other codecs.

    https://www.w3.org/TR/png/#11IHDR, ISO/IEC 15444-1, A.5.1 (SIZ), and
    https://developers.google.com/speed/webp/docs/riff_container.
    """
    if data.startswith(b"\x89PNG") and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        return height, width
    at = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if at >= 0 and len(data) >= at + 24:
        right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
        return bottom - top, right - left
    if data[:4] != b"RIFF" or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[27:30], "little") + 1, int.from_bytes(data[24:27], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return height & 0x3FFF, width & 0x3FFF


def _words(shape: tuple[int, ...]) -> str:
    rows, cols, samples = shape
    return f"{cols} × {rows} px of {samples} samples"
