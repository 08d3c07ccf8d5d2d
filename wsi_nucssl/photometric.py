"""Stored samples become the colours that they mean: one conversion for slides, plain images and datasets.

The kinds of samples are those of TIFF 6.0 (https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf): grey with
black or white as zero, RGB, palette, CMYK and YCbCr, of 1 to 32 bits or as floats from 0 to 1, with or without alpha.
What has no certain colour is refused.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB_COLOUR, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
COLOURS: Final = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB_COLOUR: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}
"""Samples that make a colour; more are alpha."""

ASSOCIATED, UNASSOCIATED = 1, 2
"""Alpha that colours are multiplied with already, and alpha that they are not."""

BT601: Final = (0.299, 0.587, 0.114)
FULL_RANGE: Final = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
_RANGES: Final = (8, 10, 12, 14, 16, 24, 32)
"""Bits that cameras fill, in samples that have room for more."""

_TABLE_BITS: Final = 16
_SLACK: Final = 1e-3
"""By how much floats may leave 0 to 1: rounding does that."""


class UnconvertibleError(ValueError):
    """Samples whose colours are not certain."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """What the samples of a pixel mean.

    Attributes
    ----------
    photometric : int
        As TIFF numbers it: one of `COLOURS`.
    white : float
        The sample that means full intensity: 255 for 8 bits, 4095 for 12, 1 for floats.
    alpha : int
        0 for none, `ASSOCIATED` or `UNASSOCIATED`; it comes after the colour.
    palette : ndarray, optional
        uint8 (colours, 3).
    coefficients, reference : tuple of float
        YCbCrCoefficients and ReferenceBlackWhite.
    """

    photometric: int
    white: float = 255.0
    alpha: int = 0
    palette: NDArray[np.uint8] | None = None
    coefficients: tuple[float, ...] = BT601
    reference: tuple[float, ...] = FULL_RANGE

    @property
    def samples(self) -> int:
        """Samples a pixel."""
        return COLOURS[self.photometric] + (self.alpha != 0)


def to_rgb(samples: NDArray[Any], encoding: Encoding) -> RGB:
    """The colours of stored samples, on white where they are transparent.

    Parameters
    ----------
    samples : ndarray
        (row, col, sample), of any integer or float type.

    Returns
    -------
    ndarray
        uint8 RGB (row, col, 3).

    Raises
    ------
    UnconvertibleError
        A sample lies outside the range that the encoding states.
    """
    if encoding.photometric == RGB_COLOUR and encoding.samples == 3 and samples.dtype == np.uint8:
        return np.ascontiguousarray(samples)
    count = COLOURS[encoding.photometric]
    colour, alpha = samples[..., :count], samples[..., count:]
    if encoding.photometric == PALETTE:
        rgb = _looked_up(colour[..., 0], encoding.palette)
    else:
        rgb = _coloured(_eight_bits(colour, encoding.white), encoding)
    if not encoding.alpha:
        return rgb
    opacity = _eight_bits(alpha[..., :1], encoding.white)
    if encoding.alpha == UNASSOCIATED:
        return flatten_alpha(np.concatenate([rgb, opacity], axis=2))
    return np.asarray(np.minimum(rgb.astype(np.uint16) + 255 - opacity, 255), np.uint8)


def flatten_alpha(image: NDArray[np.uint8]) -> RGB:
    """Composite an RGBA image (row, col, 4), alpha not premultiplied, on white; RGB passes through."""
    if image.shape[2] == 3:
        return np.ascontiguousarray(image)
    alpha = image[..., 3]
    if alpha.min() == 255:
        return np.ascontiguousarray(image[..., :3])
    weight = alpha[..., None].astype(np.uint32)
    blended = image[..., :3].astype(np.uint32) * weight + 255 * (255 - weight)
    return np.asarray((blended + 127) // 255, np.uint8)


def plain_rgb(pixels: NDArray[Any]) -> RGB:
    """The colours of a decoded picture: grey, grey and alpha, RGB or RGBA of 8 or 16 bits.

    Raises
    ------
    UnconvertibleError
        It has another number of samples, or samples of another type.
    """
    stored = pixels[..., None] if pixels.ndim == 2 else pixels
    if stored.ndim != 3 or not 1 <= stored.shape[2] <= 4 or stored.dtype not in (np.uint8, np.uint16):
        raise UnconvertibleError(f"its colours are not known: shape {pixels.shape}, {pixels.dtype}")
    photometric = BLACK_IS_ZERO if stored.shape[2] < 3 else RGB_COLOUR
    alpha = UNASSOCIATED if stored.shape[2] in (2, 4) else 0
    colours = stored[..., : COLOURS[photometric]]
    white = 255.0 if stored.dtype == np.uint8 or not colours.size else real_white(int(colours.max()), 16)
    if alpha and white < 65535 and stored.dtype == np.uint16:
        white = 65535.0  # a PNG's alpha, and so its colours, fill the range
    return to_rgb(stored, Encoding(photometric, white, alpha))


def real_white(largest: int, bits: int) -> float:
    """The sample that means full intensity where `largest` is the greatest that there is, of so many stored bits.

    Cameras of 10, 12 or 14 bits are stored in 16. A bright field is never so dark that it would fit into fewer bits
    than its camera has.
    """
    return float(next((2**used - 1 for used in _RANGES if largest < 2**used and used <= bits), 2**bits - 1))


def palette_of(table: NDArray[Any] | None) -> NDArray[np.uint8]:
    """A TIFF's ColorMap, (3, colours) of 16 bits, or of 8 as some writers store it, as uint8 (colours, 3)."""
    wide = np.asarray(table, np.uint32).reshape(3, -1).T
    return np.asarray(wide if wide.max() < 256 else (wide + 128) // 257, np.uint8)


def _looked_up(indexes: NDArray[Any], palette: NDArray[np.uint8] | None) -> RGB:
    if palette is None or (indexes.size and int(indexes.max()) >= len(palette)):
        raise UnconvertibleError("it uses colours that its palette does not list")
    return np.asarray(palette[indexes], np.uint8)


def _eight_bits(samples: NDArray[Any], white: float) -> NDArray[np.uint8]:
    if samples.dtype == np.uint8 and white == 255:
        return samples
    if samples.dtype.kind == "f":
        return _from_floats(samples, white)
    if samples.size and int(samples.max()) > white:
        raise UnconvertibleError(f"it holds a sample of {samples.max()}, above its white of {white:.0f}")
    if white < 2**_TABLE_BITS:
        return np.asarray(_table(int(white))[samples], np.uint8)
    return np.asarray(np.rint(samples * (255.0 / white)), np.uint8)


def _from_floats(samples: NDArray[Any], white: float) -> NDArray[np.uint8]:
    low, high = (float(samples.min()), float(samples.max())) if samples.size else (0.0, 0.0)
    if not (-_SLACK * white <= low and high <= white * (1 + _SLACK)):
        raise UnconvertibleError(f"it holds floats from {low:g} to {high:g}, not from 0 to {white:g}")
    return np.asarray(np.rint(np.clip(samples.astype(np.float64) / white, 0, 1) * 255), np.uint8)


@functools.lru_cache(maxsize=8)
def _table(white: int) -> NDArray[np.uint8]:
    return np.asarray(np.rint(np.arange(white + 1) * (255.0 / white)), np.uint8)


def _coloured(colour: NDArray[np.uint8], encoding: Encoding) -> RGB:
    if encoding.photometric == CMYK:
        light = 255 - colour[..., :3].astype(np.uint16)
        return np.asarray((light * (255 - colour[..., 3:].astype(np.uint16)) + 127) // 255, np.uint8)
    if encoding.photometric == YCBCR:
        return _from_ycbcr(colour, encoding)
    seen = 255 - colour if encoding.photometric == WHITE_IS_ZERO else colour
    return np.repeat(seen, 3, axis=2) if seen.shape[2] == 1 else np.ascontiguousarray(seen)


def _from_ycbcr(colour: NDArray[np.uint8], encoding: Encoding) -> RGB:
    """TIFF 6.0, section 21: codes to Y, Cb and Cr by ReferenceBlackWhite, then to RGB by the coefficients."""
    black, white = np.array(encoding.reference).reshape(3, 2).T
    if not (white > black).all():
        raise UnconvertibleError("its ReferenceBlackWhite is no range")
    scale = np.array([255.0, 127.0, 127.0]) / (white - black)
    luma, cb, cr = np.moveaxis((colour - black) * scale, 2, 0)
    of_red, of_green, of_blue = encoding.coefficients
    red, blue = luma + cr * (2 - 2 * of_red), luma + cb * (2 - 2 * of_blue)
    green = (luma - of_blue * blue - of_red * red) / of_green
    return np.asarray(np.rint(np.clip(np.stack([red, green, blue], axis=2), 0, 255)), np.uint8)
