"""Which sample is white where more bits are stored than a camera fills, and whether floats go from 0 to 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.errors import SlideError
from wsi_nucssl.photometric import PALETTE, real_white
from wsi_nucssl.slide.readers.tiff_level import TiffLevel
from wsi_nucssl.slide.readers.tiff_segments import DAMAGE
from wsi_nucssl.slide.source import Source

_STORED_BITS: Final = {2.0**bits - 1: bits for bits in (16, 32)}
_SEEN_TILES: Final = 64


def with_real_range(levels: tuple[TiffLevel, ...], source: Source) -> tuple[TiffLevel, ...]:
    """The levels with the white that their samples show: the least range of a camera that holds them all.

    The coarsest level is read, and tiles spread over the finest, 64 of each at most. A tile that is brighter than all
    of them is an error when it is read. Levels of fewer bits, whose range is the file's own statement, are not read.

    Raises
    ------
    SlideError
        A tile is damaged.
    """
    bits = _STORED_BITS.get(levels[0].encoding.white)
    if bits is None or levels[0].encoding.photometric == PALETTE:
        return levels
    largest = max(
        (
            int(tile.max())
            for level in {levels[0], levels[-1]}
            for tile in read_tiles(level, _spread(np.flatnonzero(level.counts.all(axis=0))), source)
        ),
        default=0,
    )
    white = real_white(largest, bits)
    return tuple(replace(level, encoding=replace(level.encoding, white=white)) for level in levels)


def read_tiles(level: TiffLevel, indexes: Sequence[int], source: Source) -> Iterator[NDArray[Any]]:
    """The samples of some of a level's tiles, (row, col, sample).

    Raises
    ------
    SlideError
        One is damaged.
    """
    for index in indexes:
        parts: Sequence[bytes] = source.read_many(level.ranges_of(index))
        try:
            yield level.samples(parts, index)
        except DAMAGE as error:
            raise SlideError(
                f"its tile {index} is damaged: {error}",
                path=str(source.location),
                remedy="Copy or export the slide again",
            ) from error


def _spread(indexes: NDArray[np.intp]) -> list[int]:
    step = -(-max(1, len(indexes)) // _SEEN_TILES)
    return [int(index) for index in indexes[::step]]
