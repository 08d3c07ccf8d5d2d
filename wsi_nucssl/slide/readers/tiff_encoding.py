"""What the samples of a TIFF's page mean, or why that is not certain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import tifffile

from wsi_nucssl.photometric import (
    ASSOCIATED,
    BLACK_IS_ZERO,
    BT601,
    CMYK,
    COLOURS,
    FULL_RANGE,
    PALETTE,
    RGB_COLOUR,
    UNASSOCIATED,
    YCBCR,
    Encoding,
    UnconvertibleError,
    palette_of,
)

_NONE, _LZW, _JPEG, _DEFLATE, _PACKBITS, _OLD_DEFLATE = 1, 5, 7, 8, 32773, 32946
_APERIO_J2K, _J2K, _LZMA, _PNG, _ZSTD, _WEBP, _JPEGXL, _JPEGXL_DNG = (
    33005, 34712, 34925, 34933, 50000, 50001, 50002, 52546,
)  # fmt: skip
_BYTES: Final = {_NONE, _LZW, _DEFLATE, _PACKBITS, _OLD_DEFLATE, _LZMA, _ZSTD}
"""Codecs of bytes, whatever they mean."""

_PICTURES: Final = {_APERIO_J2K, _J2K, _PNG, _WEBP, _JPEGXL, _JPEGXL_DNG}
_UNSIGNED, _FLOAT = 1, 3
_FLOAT_BITS: Final = {16, 32, 64}
_MAX_BITS: Final = 32
_MAX_PICTURE_BITS: Final = 16
_COEFFICIENTS, _INK_SET, _DOT_RANGE, _REFERENCE, _SAMPLE_FORMAT = 529, 332, 336, 532, 339
_CMYK_INKS: Final = 1
_TOLERANCE: Final = 0.002


def encoding_of(page: tifffile.TiffPage) -> Encoding:
    """The meaning of a page's samples; of 16 and 32 bits as if they filled them.

    Raises
    ------
    UnconvertibleError
        It is not certain, or its codec is none that is decoded here; the message names what is stored.
    """
    fault = _fault_of_storage(page) or _fault_of_samples(page) or _fault_of_colour(page)
    if fault:
        raise UnconvertibleError(f"{fault} ({in_words(page)})")
    is_float = page.sampleformat == _FLOAT
    is_decoded = page.photometric == YCBCR and page.compression == _JPEG  # libjpeg makes RGB of it
    return Encoding(
        RGB_COLOUR if is_decoded else page.photometric,
        1.0 if is_float else float(2**page.bitspersample - 1),
        _alpha(page),
        palette_of(page.colormap) if page.photometric == PALETTE else None,
        _coefficients(page),
        _reference(page),
    )


def in_words(page: tifffile.TiffPage) -> str:
    """How a page stores its pixels: "photometric SEPARATED, 16 bits, compression LZW"."""
    photometric, compression = _name(tifffile.PHOTOMETRIC, page.photometric), page.compression
    bits = page.bitspersample
    kind = {_UNSIGNED: "", 2: " signed", _FLOAT: " float"}.get(page.sampleformat, " of an odd sample format")
    codec = _name(tifffile.COMPRESSION, compression)
    return (
        f"photometric {photometric}, {bits} bits{kind}, {page.samplesperpixel} samples, compression {codec}"
    )


def is_subsampled(page: tifffile.TiffPage) -> bool:
    """True for YCbCr whose colours are stored at fewer places than its brightness, without JPEG."""
    return bool(page.photometric == YCBCR and page.compression != _JPEG and subsampling(page) != (1, 1))


def subsampling(page: tifffile.TiffPage) -> tuple[int, int]:
    """Pixels a chroma sample, (across, down); 2 × 2 where the file does not say (TIFF 6.0)."""
    across, down = page.subsampling or (2, 2)
    return int(across), int(down)


def _name(kinds: Any, number: int) -> str:
    try:
        return str(kinds(number).name)
    except ValueError:
        return str(int(number))


def _fault_of_storage(page: tifffile.TiffPage) -> str:
    if page.imagedepth != 1:
        return "it holds a volume"
    if page.compression not in {*_BYTES, *_PICTURES, _JPEG}:
        return "its compression is not read"
    if page.compression in _BYTES and page.predictor not in (1, 2, 3):
        return f"its predictor {int(page.predictor)} is not read"
    if page.compression in _BYTES and page.predictor == 3 and page.sampleformat != _FLOAT:
        return "it predicts floats, but stores none"
    if page.compression in _BYTES and page.predictor == 2 and page.sampleformat == _FLOAT:
        return "it predicts integers, but stores floats"
    return ""


def _fault_of_samples(page: tifffile.TiffPage) -> str:
    bits: Any = page.bitspersample  # a tuple, where samples differ
    kind = page.sampleformat
    formats = page.tags.get(_SAMPLE_FORMAT)
    if not isinstance(bits, int):
        return "its samples have different numbers of bits"
    if formats is not None and len(set(np.ravel(formats.value).tolist())) > 1:
        return "its samples have different formats"
    if kind == _FLOAT and bits not in _FLOAT_BITS:
        return "floats of so many bits are not read"
    if kind not in (_UNSIGNED, _FLOAT):
        return "which of its samples is white is not known"
    if kind == _UNSIGNED and not 1 <= bits <= (
        _MAX_PICTURE_BITS if page.compression in _PICTURES else _MAX_BITS
    ):
        return "integers of so many bits are not read"
    if page.compression == _JPEG and (bits != 8 or page.samplesperpixel not in (1, 3, 4)):
        return "JPEG is read with 8 bits and 1, 3 or 4 samples"
    if page.predictor == 2 and page.compression in _BYTES and bits not in (8, 16, 32):
        return "packed samples with a predictor are not read"
    return ""


def _fault_of_colour(page: tifffile.TiffPage) -> str:
    colours = COLOURS.get(page.photometric)
    if colours is None:
        return "its photometric interpretation is not read"
    if page.samplesperpixel < colours:
        return f"its colours take {colours} samples"
    extra = tuple(page.extrasamples)
    if page.samplesperpixel > colours and (
        page.samplesperpixel != colours + 1 or extra not in ((ASSOCIATED,), (UNASSOCIATED,))
    ):
        return "what its further samples mean is not known"
    if extra == (ASSOCIATED,) and page.photometric not in (BLACK_IS_ZERO, RGB_COLOUR):
        return "premultiplied alpha is read with black as zero alone"
    return {PALETTE: _fault_of_palette, CMYK: _fault_of_inks, YCBCR: _fault_of_ycbcr}.get(
        page.photometric, lambda _: ""
    )(page)


def _fault_of_palette(page: tifffile.TiffPage) -> str:
    if page.colormap is None:
        return "its palette is missing"
    if page.sampleformat != _UNSIGNED or page.bitspersample > 16 or page.compression == _JPEG:
        return "a palette is read with unsigned, lossless samples alone"
    if np.size(page.colormap) != 3 * 2**page.bitspersample:
        return f"its palette has {np.size(page.colormap) // 3} colours instead of {2**page.bitspersample}"
    return "" if page.samplesperpixel == 1 else "a palette with alpha is not read"


def _fault_of_inks(page: tifffile.TiffPage) -> str:
    if page.sampleformat != _UNSIGNED or page.bitspersample not in (8, 16):
        return "inks are read with 8 or 16 bits"
    if page.tags.valueof(_INK_SET, _CMYK_INKS) != _CMYK_INKS:
        return "its inks are not CMYK"
    dots = np.ravel(page.tags.valueof(_DOT_RANGE, (0, 2**page.bitspersample - 1))).tolist()
    return "" if set(dots) == {0, 2**page.bitspersample - 1} else "its ink range is unusual"


def _fault_of_ycbcr(page: tifffile.TiffPage) -> str:
    if page.bitspersample != 8 or page.sampleformat != _UNSIGNED or page.samplesperpixel != 3:
        return "YCbCr is read with 3 samples of 8 bits"
    coefficients, reference = _coefficients(page), _reference(page)
    if len(coefficients) != 3 or len(reference) != 6 or min(coefficients) <= 0:
        return "its YCbCrCoefficients or ReferenceBlackWhite are damaged"
    if page.compression == _JPEG:
        usual = _near(coefficients, BT601, _TOLERANCE) and _near(reference, FULL_RANGE, 0.5)
        if page.planarconfig != 1:
            return "YCbCr in planes is not read"
        return "" if usual else "its YCbCrCoefficients or ReferenceBlackWhite are not those of JPEG"
    if page.compression not in _BYTES or page.planarconfig != 1 or page.predictor != 1:
        return "YCbCr is read as JPEG, or in one plane without a predictor"
    return "" if set(subsampling(page)) <= {1, 2, 4} else "its subsampling is none of the specification"


def _near(found: Sequence[float], usual: Sequence[float], tolerance: float) -> bool:
    return all(abs(one - other) <= tolerance for one, other in zip(found, usual, strict=True))


def _alpha(page: tifffile.TiffPage) -> int:
    return int(page.extrasamples[0]) if page.samplesperpixel > COLOURS[page.photometric] else 0


def _coefficients(page: tifffile.TiffPage) -> tuple[float, ...]:
    return _fractions(page, _COEFFICIENTS, BT601)


def _reference(page: tifffile.TiffPage) -> tuple[float, ...]:
    return _fractions(page, _REFERENCE, FULL_RANGE) if page.photometric == YCBCR else FULL_RANGE


def _fractions(page: tifffile.TiffPage, tag: int, default: tuple[float, ...]) -> tuple[float, ...]:
    """A tag's fractions; one that is no number is 0."""
    found = page.tags.get(tag)
    if found is None:
        return default
    if found.dtype not in (5, 10):
        return tuple(float(value) for value in np.ravel(found.value))
    pairs = np.ravel(found.value).tolist()
    return tuple(top / under if under else 0.0 for top, under in zip(pairs[::2], pairs[1::2], strict=True))
