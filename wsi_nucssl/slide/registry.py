"""The readers of slides by name. A new one is a file and a line here, or an entry point: docs/extending.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wsi_nucssl.errors import SlideError
from wsi_nucssl.locations import Url
from wsi_nucssl.registry import Plugin, Registry

if TYPE_CHECKING:
    from wsi_nucssl.mpp import GivenMpp
    from wsi_nucssl.slide.base import Slide
    from wsi_nucssl.slide.part import PartChoice
    from wsi_nucssl.slide.source import Source


@dataclass(frozen=True, slots=True)
class SlideReader:
    """How a reader knows its files, and how it opens them.

    Attributes
    ----------
    recognise : callable
        Given the `Source`, true if the reader may understand it. It looks at the content, never at the name, and is
        asked about every file: it reads a few bytes and imports its library when it must.
    open : callable
        Given the `Source` and what the user says of its resolution, the `Slide`. The slide closes the
        source. It raises `DeclinedError` if another reader may understand the file, another `SlideError` if none can.
        A reader that reads by `Source.read_at` takes URLs too; one whose library wants a path asks `local_path`.
    endings : tuple of str
        How its files end, in lower case, such as ".svs": what is taken from a folder. A file that is named is taken
        whatever its ending.
    open_part : callable, optional
        As `open`, given which scene and which focus plane too, for a reader that tells them apart.
    """

    recognise: Callable[[Source], bool]
    open: Callable[[Source, GivenMpp], Slide]
    endings: tuple[str, ...] = ()
    open_part: Callable[[Source, GivenMpp, PartChoice], Slide] | None = None


class DeclinedError(SlideError):
    """This reader does not open the file; the next that recognises it is asked."""


def starts_with(*magic: bytes) -> Callable[[Source], bool]:
    """A `recognise` by the first bytes."""
    longest = max(map(len, magic))
    return lambda source: source.read_at(0, min(longest, source.size)).startswith(magic)


def local_path(source: Source, reader: str) -> Path:
    """The path of a local file, for a reader whose library takes nothing else.

    Raises
    ------
    DeclinedError
        The slide is given by a URL.
    """
    if isinstance(source.location, Url):
        raise DeclinedError(
            f"the reader {reader} takes local files alone",
            path=str(source.location),
            remedy="Download it first, or leave the choice to ⟨reader⟩ auto",
        )
    return source.location


TIFF_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
IMAGE_MAGIC: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"BM")

TIFF_ENDINGS: Final = (".svs", ".tif", ".tiff")
PICTURE_ENDINGS: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""Of plain pictures, which beside a scanner's file of the same name are its thumbnail, label or overlay."""

_HERE: Final = "wsi_nucssl.slide.readers"

READERS: Final[Registry[SlideReader]] = Registry(
    "reader",
    "wsi_nucssl.readers",
    Plugin("tiff", f"{_HERE}.tiff:READER", "tiled TIFF and SVS, fast, from files and URLs"),
    Plugin("openslide", f"{_HERE}.openslide:READER", "every format of OpenSlide"),
    Plugin("tiffslide", f"{_HERE}.tiffslide:READER", "TIFFs of microscopes that OpenSlide does not take"),
    Plugin("image", f"{_HERE}.image:READER", "PNG, JPEG, TIFF, WebP or BMP held whole, from files and URLs"),
)
"""In the order in which "auto" asks them; those from outside come last."""
