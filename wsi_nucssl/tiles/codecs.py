"""How a stored tile is packed: not at all, losslessly, or as JPEG. Each carries a checksum, so damage is noticed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, Self, cast, get_args

import imagecodecs
import numpy as np
from zarr.abc.codec import ArrayBytesCodec, BytesBytesCodec
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ZstdCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.common import JSON
from zarr.registry import register_codec

from wsi_nucssl.errors import UsageError

CodecName = Literal["none", "zstd", "blosc", "jpeg"]
CODECS: Final[tuple[CodecName, ...]] = get_args(CodecName)

JPEG_NAME: Final = "wsi_nucssl.jpeg"
JPEG_QUALITY: Final = 90


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
        """Unknown before packing."""
        raise NotImplementedError("the size of a JPEG is not known beforehand")

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        pixels = imagecodecs.jpeg_decode(chunk_data.to_bytes())
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)).reshape(chunk_spec.shape)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(planes)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        pixels = np.ascontiguousarray(chunk_data.as_numpy_array().transpose(1, 2, 0))
        packed = imagecodecs.jpeg_encode(pixels, level=self.quality, subsampling="444")
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
        "zstd": [ZstdCodec(level=1)],
        "blosc": [BloscCodec(cname="zstd", clevel=1, shuffle="noshuffle")],
    }
    return {"serializer": BytesCodec(), "compressors": [*packers[name], Crc32cCodec()]}
