"""`open_slide`: which reader opens a file, decided by its content."""

from __future__ import annotations

import os

from wsi_nucssl.errors import SlideError, UsageError, WsiNucsslError
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.locations import Location, Url, locate
from wsi_nucssl.mpp import GivenMpp
from wsi_nucssl.slide.base import Slide
from wsi_nucssl.slide.part import PartChoice
from wsi_nucssl.slide.registry import READERS, DeclinedError, SlideReader
from wsi_nucssl.slide.resolution import refuse_contradiction
from wsi_nucssl.slide.source import Source, open_source
from wsi_nucssl.slide.tiff_checks import check_tiff, is_tiff


def open_slide(
    path: str | os.PathLike[str] | Url,
    *,
    reader: str = "auto",
    mpp: Mpp | float | None = None,
    force_mpp: bool = False,
    scene: str | int | None = None,
    focus: int | None = None,
) -> Slide:
    """Open a whole-slide image or a plain image, read-only.

    Parameters
    ----------
    path : str or os.PathLike[str] or Url
        The file, or its URL: `s3://`, `https://`, or any other protocol of fsspec. Readers that take URLs
        read the bytes that they need, by ranges.
    reader : str
        "auto", or the name of the reader to use (`wsi_nucssl.slide.READERS`): "tiff" (fast, tiled TIFF and
        SVS), "openslide", "tiffslide", "image", or one that another package adds. "auto" takes the first of
        them that understands the content; the file's name plays no part.
    mpp : Mpp or float, optional
        µm per level-0 px, where the file does not say it.
    force_mpp : bool
        `mpp` goes before what the file says, and an unusual resolution is not questioned.
    scene : str or int, optional
        Which of a file's scenes: its name, or its number from 0. A file of several is refused without.
    focus : int, optional
        Which plane of a focus stack, from 0; by default the sharpest.

    Raises
    ------
    SlideError
        The file is missing, empty, damaged or no slide, the reader takes local files alone, the file states
        another mpp than `mpp`, by more than 2 %, or it has no such scene or plane, or several scenes.
    UsageError
        `reader` or `mpp` makes no sense, such as an mpp outside 0.05 … 4 that is not forced.
    """
    if reader != "auto" and reader not in READERS:
        choices = ", ".join(("auto", *READERS.names))
        raise UsageError(f"no reader {reader!r}", remedy=f"Choose one of {choices}")
    given, choice = GivenMpp.parse(mpp, force_mpp), PartChoice(scene, focus)
    source = open_source(locate(path))
    try:
        if is_tiff(source):
            check_tiff(source)
        if reader == "auto":
            slide = _open_any(source, given, choice)
        else:
            slide = _open_by(READERS.get(reader), source, given, choice)
    except WsiNucsslError:
        source.close()
        raise
    try:
        refuse_contradiction(slide, given)
    except SlideError:
        slide.close()
        raise
    return slide


def _open_by(reader: SlideReader, source: Source, mpp: GivenMpp, choice: PartChoice) -> Slide:
    """The slide by one reader, which may not know of scenes."""
    if reader.open_part is not None:
        return reader.open_part(source, mpp, choice)
    if choice.suits_one_image:
        return reader.open(source, mpp)
    raise DeclinedError(
        "its reader knows neither scenes nor focus planes",
        path=str(source.location),
        remedy="Leave out ⟨scene⟩ and ⟨focus⟩, or leave the choice to ⟨reader⟩ auto",
    )


def _open_any(source: Source, mpp: GivenMpp, choice: PartChoice) -> Slide:
    """The first reader that recognises the content and does not decline; if all do, what each of them said."""
    declined: list[SlideError] = []
    for candidate in READERS.in_turn():
        try:
            if candidate.recognise(source):
                return _open_by(candidate, source, mpp, choice)
        except DeclinedError as error:
            declined.append(error)
    if not declined:
        raise _unknown(source.location)
    if len(declined) == 1:
        raise declined[0]
    is_remote = isinstance(source.location, Url)
    raise SlideError(
        "no reader understands it: " + "; ".join(error.what for error in declined),
        path=str(source.location),
        remedy="Download it first, or convert it to tiled TIFF" if is_remote else "Convert it to tiled TIFF",
    )


def _unknown(location: Location) -> SlideError:
    remedy = "Give a slide that OpenSlide reads, or a PNG, JPEG, TIFF or WebP image"
    if isinstance(location, Url):
        remedy = (
            "Download it first: tiled TIFF, SVS and plain images are read by URL, other slides as local files"
        )
    return SlideError(
        "its content is of no slide or image format that is known", path=str(location), remedy=remedy
    )
