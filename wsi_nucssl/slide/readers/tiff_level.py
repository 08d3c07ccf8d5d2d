"""One level of a TIFF: where its tiles lie, and how they become RGB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.geometry import Size
from wsi_nucssl.photometric import RGB_COLOUR, Encoding, to_rgb
from wsi_nucssl.slide.base import RGB
from wsi_nucssl.slide.readers.tiff_segments import Decoder, SegmentDamage


@dataclass(frozen=True, slots=True, eq=False)
class TiffLevel:
    """One level: tile (row r, col c) is segment `r * cols + c` of each of its planes.

    Attributes
    ----------
    offsets, counts : ndarray of int
        (plane, tile): first byte and number of bytes; samples that lie together are one plane.
    decode : callable
        A segment's bytes and its index → (rows, cols, samples).
    encoding : Encoding
        What the samples mean.
    """

    size: Size
    tile: Size
    cols: int
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    decode: Decoder
    encoding: Encoding

    @property
    def planes(self) -> int:
        """Segments that make up a tile."""
        return len(self.offsets)

    @property
    def fills_bytes(self) -> bool:
        """True if its samples are of 8 bits and mean RGB, so that nothing is converted."""
        return (
            self.encoding.photometric == RGB_COLOUR
            and self.encoding.samples == 3
            and self.encoding.white == 255
        )

    def range_of(self, index: int) -> tuple[int, int]:
        """First byte and number of bytes of a tile in its first plane; none for one that was left out of the file."""
        return int(self.offsets[0, index]), int(self.counts[0, index])

    def ranges_of(self, index: int) -> list[tuple[int, int]]:
        """As `range_of`, of each plane."""
        return [
            (int(plane[index]), int(count[index]))
            for plane, count in zip(self.offsets, self.counts, strict=True)
        ]

    def rgb(self, parts: Sequence[bytes], index: int) -> RGB:
        """The pixels of a tile, whole or, where they are converted, as far as they lie inside the level.

        Raises
        ------
        SegmentDamage, UnconvertibleError
            Its bytes do not decode, or mean no colours.
        """
        samples = self.samples(parts, index)
        return np.ascontiguousarray(samples) if self.fills_bytes else to_rgb(samples, self.encoding)

    def samples(self, parts: Sequence[bytes], index: int) -> NDArray[Any]:
        """The samples of a tile as they are stored, (row, col, sample)."""
        if len(parts) == 1:
            decoded = self.decode(parts[0], index)
        elif all(parts):
            decoded = np.concatenate([self.decode(part, index) for part in parts], axis=2)
        else:
            raise SegmentDamage("some of its planes were left out of the file")
        if self.fills_bytes:
            return decoded
        row, col = divmod(index, self.cols)
        return decoded[: self.size.height - row * self.tile.height, : self.size.width - col * self.tile.width]
