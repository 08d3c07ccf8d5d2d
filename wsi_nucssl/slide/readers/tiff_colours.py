"""Which TIFFs lenient readers give true colours of.

OpenSlide, TiffSlide and Pillow open many a TIFF whose samples they hand over raw, or cut to eight bits: CMYK as if it
were RGB, twelve bits as if they were eight, one channel of a fluorescence image as if it were all. So the first page is
asked before they are.
"""

from __future__ import annotations

from typing import Final

import tifffile

from wsi_nucssl.errors import SlideError
from wsi_nucssl.slide.registry import TIFF_MAGIC, DeclinedError, starts_with
from wsi_nucssl.slide.source import Source, as_file

_RGB: Final = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
_CONVERTED_BY_PILLOW: Final = (
    *_RGB,
    tifffile.PHOTOMETRIC.MINISWHITE,
    tifffile.PHOTOMETRIC.MINISBLACK,
    tifffile.PHOTOMETRIC.PALETTE,
    tifffile.PHOTOMETRIC.SEPARATED,
)
_UNSIGNED: Final = 1
_is_tiff = starts_with(*TIFF_MAGIC)


def decline_other_than_rgb(source: Source, reader: str) -> None:
    """For readers that hand over samples as they are: only 8-bit RGB and YCbCr, stored together, is colour.

    Raises
    ------
    DeclinedError
        The first page is anything else.
    """
    page = _first_page(source)
    if page is None or (
        page.photometric in _RGB
        and page.bitspersample == 8
        and page.sampleformat == _UNSIGNED
        and page.samplesperpixel in (3, 4)
        and page.planarconfig == 1
    ):
        return
    raise DeclinedError(
        f"{reader} does not give the colours of {_in_words(page)}", path=str(source.location), remedy=_REMEDY
    )


def refuse_what_pillow_cuts(source: Source) -> None:
    """For Pillow, which converts palettes, CMYK and grey, but cuts samples to eight bits and takes one page alone.

    Raises
    ------
    SlideError
        The samples are wider or no plain numbers, or the first page is one of several planes.
    """
    page = _first_page(source)
    if page is None:
        return
    if (
        page.photometric not in _CONVERTED_BY_PILLOW
        or page.bitspersample not in range(1, 9)  # or several, where samples differ
        or (page.samplesperpixel > 1 and page.bitspersample != 8)
        or page.sampleformat != _UNSIGNED
    ):
        raise SlideError(
            f"the colours of {_in_words(page)} are not known", path=str(source.location), remedy=_REMEDY
        )
    planes = _pages_of_one_size(source, page)
    if planes > 1:
        raise SlideError(
            f"it holds {planes} planes of one size, such as channels or depths of focus",
            path=str(source.location),
            remedy="Give the one plane, or the picture that they make, as 8-bit RGB",
        )


_REMEDY: Final = "Convert it to 8-bit RGB, tiled TIFF"


def _first_page(source: Source) -> tifffile.TiffPage | None:
    """None for what is no TIFF, and for one that tifffile does not read: the reader itself will say so."""
    if not _is_tiff(source):
        return None
    try:
        with as_file(source) as file, tifffile.TiffFile(file) as tiff:
            return tiff.pages.first
    except (tifffile.TiffFileError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None


def _pages_of_one_size(source: Source, first: tifffile.TiffPage) -> int:
    with as_file(source) as file, tifffile.TiffFile(file) as tiff:
        sizes = [(page.aspage().imagewidth, page.aspage().imagelength) for page in tiff.pages]
    return sizes.count((first.imagewidth, first.imagelength))


def _in_words(page: tifffile.TiffPage) -> str:
    kind = {1: "", 2: "signed ", 3: "floating-point "}.get(page.sampleformat, "odd ")
    apart = ", channel by channel" if page.planarconfig == 2 and page.samplesperpixel > 1 else ""
    return (
        f"a TIFF of photometric interpretation {_name(page.photometric)}, {page.samplesperpixel} samples a pixel of "
        f"{page.bitspersample} {kind}bits{apart}, compression {_name(page.compression)}"
    )


def _name(value: object) -> str:
    return str(getattr(value, "name", value))
