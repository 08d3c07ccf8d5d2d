"""Which TIFFs lenient readers give true colours of.

OpenSlide and TiffSlide open many a TIFF whose samples they hand over raw, or cut to eight bits: CMYK as if it were RGB,
twelve bits as if they were eight, one channel of a fluorescence image as if it were all. So the first page is asked
before they are.
"""

from __future__ import annotations

import struct
from typing import Final

import tifffile

from wsi_nucssl.photometric import RGB_COLOUR, YCBCR
from wsi_nucssl.slide.part import ANY_PART
from wsi_nucssl.slide.readers.tiff_encoding import in_words
from wsi_nucssl.slide.readers.tiff_selection import FOREIGN, select_images
from wsi_nucssl.slide.registry import TIFF_MAGIC, DeclinedError, starts_with
from wsi_nucssl.slide.source import Source, as_file

_UNSIGNED: Final = 1
_NOT_READ: Final = (tifffile.TiffFileError, struct.error, ValueError, LookupError, TypeError, AttributeError)
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
        page.photometric in (RGB_COLOUR, YCBCR)
        and page.bitspersample == 8
        and page.sampleformat == _UNSIGNED
        and page.samplesperpixel in (3, 4)
        and page.planarconfig == 1
    ):
        return
    raise DeclinedError(
        f"{reader} does not give the colours of what it stores ({in_words(page)})",
        path=str(source.location),
        remedy="Convert it to 8-bit RGB, tiled TIFF",
    )


def decline_stacks(source: Source, reader: str) -> None:
    """For readers that take one of a TIFF's images without a word.

    Raises
    ------
    DeclinedError
        It is a focus stack.
    SlideError
        It holds several scenes.
    """
    if not _is_tiff(source):
        return
    try:
        with as_file(source) as file, tifffile.TiffFile(file) as tiff:
            if any(getattr(tiff, kind) for kind in FOREIGN):
                return
            planes = len(select_images(tiff, str(source.location), ANY_PART).stack)
    except _NOT_READ:
        return
    if planes > 1:
        raise DeclinedError(
            f"{reader} does not choose among its {planes} focus planes",
            path=str(source.location),
            remedy="Leave the choice to ⟨reader⟩ auto, or export one plane of it",
        )


def _first_page(source: Source) -> tifffile.TiffPage | None:
    """None for what is no TIFF, and for one that tifffile does not read: the reader itself will say so."""
    if not _is_tiff(source):
        return None
    try:
        with as_file(source) as file, tifffile.TiffFile(file) as tiff:
            return tiff.pages.first
    except _NOT_READ:
        return None
