"""How a stored tile is packed: not at all, losslessly, or as JPEG. Each carries a checksum, so damage is noticed.

`codec_options` describes the packing to zarr, so that anybody reads it; `pack` and `unpack` do the same work without
zarr's copies and event loop, which cost as much as decoding the slide's own tiles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, cast, get_args

import google_crc32c
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec, BytesBytesCodec
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, TransposeCodec, ZstdCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.common import JSON
from zarr.registry import register_codec

from wsi_nucssl.errors import UsageError
from wsi_nucssl.slide import RGB

CodecName = Literal["none", "zstd", "blosc", "jpeg"]
CODECS: Final[tuple[CodecName, ...]] = get_args(CodecName)

JPEG_NAME: Final = "wsi_nucssl.jpeg"
JPEG_QUALITY: Final = 90
LEVEL: Final = 1


@dataclass(frozen=True)
class JpegCodec(ArrayBytesCodec):
    """Zarr v3 codec: a uint8 chunk (3, row, col) as one JPEG. Lossy: 4:4:4 colour at `quality` from 1 to 100."""

    quality: int = JPEG_QUALITY
    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> Self:
        """Build the codec from its entry in `zarr.json`."""
        return cls(**cast("dict[str, Any]", data.get("configuration", {})))

    def to_dict(self) -> dict[str, JSON]:
        """The codec's entry in `zarr.json`."""
        return {"name": JPEG_NAME, "configuration": {"quality": self.quality}}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:  # noqa: ARG002
        """Refuse arrays that hold no RGB planes."""
        if len(shape) != 3 or shape[0] != 3 or dtype.to_native_dtype() != np.uint8:
            raise UsageError(f"the JPEG codec packs uint8 (3, row, col), not {shape}")

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Unknown before packing. NotImplementedError is zarr's word for that: its contract asks for it here."""
        raise NotImplementedError("the size of a JPEG is not known beforehand")

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        pixels = await asyncio.to_thread(imagecodecs.jpeg_decode, chunk_data.to_bytes())
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)).reshape(chunk_spec.shape)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(planes)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        pixels = np.ascontiguousarray(chunk_data.as_numpy_array().transpose(1, 2, 0))
        packed = await asyncio.to_thread(_pack_jpeg, pixels, self.quality)
        return chunk_spec.prototype.buffer.from_bytes(packed)


register_codec(JPEG_NAME, JpegCodec)


def codec_options(name: CodecName) -> dict[str, Any]:
    """The `serializer` and `compressors` that zarr's `create_array` takes for a codec of ours."""
    if name not in CODECS:
        raise UsageError(f"no codec {name!r}", remedy=f"Choose one of {', '.join(CODECS)}")
    if name == "jpeg":
        return {"serializer": JpegCodec(), "compressors": [Crc32cCodec()]}
    packers: dict[str, list[BytesBytesCodec]] = {
        "none": [],
        "zstd": [ZstdCodec(level=LEVEL)],
        "blosc": [BloscCodec(cname="zstd", clevel=LEVEL, shuffle="noshuffle")],
    }
    interleave = TransposeCodec(order=(1, 2, 0))
    return {
        "filters": [interleave],
        "serializer": BytesCodec(),
        "compressors": [*packers[name], Crc32cCodec()],
    }


def pack(name: CodecName, pixels: RGB) -> tuple[Any, bytes]:
    """One whole chunk as the bytes that `codec_options` describes: the packed pixels and their checksum.

    Parameters
    ----------
    pixels : RGB
        uint8 RGB (row, col, 3), contiguous, of the chunk's full size.
    """
    packers: dict[CodecName, Callable[[Any], Any]] = {
        "none": lambda pixels: pixels.reshape(-1),
        "zstd": lambda pixels: imagecodecs.zstd_encode(pixels, level=LEVEL),
        "blosc": lambda pixels: imagecodecs.blosc_encode(
            pixels, level=LEVEL, compressor="zstd", shuffle="noshuffle", typesize=1, numthreads=1
        ),
        "jpeg": lambda pixels: _pack_jpeg(pixels, JPEG_QUALITY),
    }
    packed = packers[name](pixels)
    return packed, _checksum(packed)


def unpack(name: CodecName, stored: NDArray[np.uint8], tile_px: int) -> RGB:
    """The pixels of a whole chunk, uint8 RGB (tile_px, tile_px, 3), from its stored bytes.

    Raises
    ------
    ValueError
        The bytes are damaged.
    """
    unpackers: dict[CodecName, Callable[[Any], Any]] = {
        "none": lambda packed: packed,
        "zstd": lambda packed: imagecodecs.zstd_decode(packed, out=3 * tile_px**2),
        "blosc": lambda packed: imagecodecs.blosc_decode(packed, out=3 * tile_px**2),
        "jpeg": imagecodecs.jpeg_decode,
    }
    packed, checksum = stored[:-4], stored[-4:].tobytes()
    if _checksum(packed) != checksum:
        raise ValueError("its checksum does not match")
    pixels = unpackers[name](packed)
    if not isinstance(pixels, np.ndarray):
        pixels = np.frombuffer(pixels, np.uint8)
    return np.asarray(pixels, np.uint8).reshape(tile_px, tile_px, 3)


def checksum_of(stored: bytes) -> int | None:
    """The checksum that a stored chunk ends with, if it is that of its bytes; None for a damaged chunk."""
    if len(stored) <= 4 or _checksum(stored[:-4]) != stored[-4:]:
        return None
    return int.from_bytes(stored[-4:], "little")


def _checksum(packed: Any) -> bytes:
    return bytes(google_crc32c.value(packed).to_bytes(4, "little"))


def _pack_jpeg(pixels: RGB, quality: int) -> bytes:
    return bytes(imagecodecs.jpeg_encode(pixels, level=quality, subsampling="444"))
