"""`open_slide`: which backend reads a file, decided by its content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wsi_nucssl.errors import SlideError, UsageError
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.slide.base import Slide

READERS = ("auto", "tiff", "openslide", "tiffslide", "image")
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_IMAGE_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"BM")


def open_slide(path: str | Path, *, reader: str = "auto", mpp: float | None = None) -> Slide:
    """Open a whole-slide image or a plain image, read-only.

    Parameters
    ----------
    path : the file.
    reader : "auto", or the backend to use: "tiff" (fast, tiled TIFF and SVS), "openslide", "tiffslide",
        "image". "auto" takes the first of them that understands the content; the file's name plays no part.
    mpp : µm per level-0 px; it goes before what the file states.

    Raises
    ------
    SlideError : the file is missing, empty, damaged or no slide.
    UsageError : `reader` or `mpp` makes no sense.
    """
    path = Path(path)
    if reader not in READERS:
        raise UsageError(f"no reader {reader!r}", remedy=f"Choose one of {', '.join(READERS)}")
    if mpp is not None:
        Mpp.square(mpp)  # refuses nonsense before a file is opened
    magic = _first_bytes(path)
    if reader != "auto":
        return _BACKENDS[reader](path, mpp)
    if magic.startswith(_TIFF_MAGIC):
        return _open_tiff(path, mpp)
    if magic.startswith(_IMAGE_MAGIC):
        return _image(path, mpp)
    if _openslide_knows(path):
        return _openslide(path, mpp)
    raise SlideError(
        "its content is of no slide or image format that is known",
        path=path,
        remedy="Give a slide that OpenSlide reads, or a PNG, JPEG, TIFF or WebP image",
    )


def _first_bytes(path: Path) -> bytes:
    if not path.exists():
        raise SlideError("there is no such file", path=path, remedy="Check the path")
    if path.is_dir():
        raise SlideError("it is a folder, not a slide", path=path, remedy="Give the slide's own file")
    try:
        with path.open("rb") as file:
            magic = file.read(16)
    except PermissionError as error:
        raise SlideError("it may not be read", path=path, remedy="Check the file's permissions") from error
    if not magic:
        raise SlideError("the file is empty", path=path, remedy="Copy the slide again")
    return magic


def _open_tiff(path: Path, mpp: float | None) -> Slide:
    """The fast reader where it understands the file fully, then whoever else does."""
    from wsi_nucssl.slide.tiff_layout import UnsupportedTiffError

    try:
        return _tiff(path, mpp)
    except UnsupportedTiffError as error:
        reasons = [error.what]
    if _openslide_knows(path):
        return _openslide(path, mpp)
    for backend in (_tiffslide, _image):
        try:
            return backend(path, mpp)
        except SlideError as error:
            reasons.append(error.what)
    raise SlideError(
        "no reader understands it: " + "; ".join(reasons), path=path, remedy="Convert it to tiled TIFF"
    )


def _openslide_knows(path: Path) -> bool:
    import openslide

    return openslide.OpenSlide.detect_format(path) is not None


def _tiff(path: Path, mpp: float | None) -> Slide:
    from wsi_nucssl.slide.tiff_reader import TiffReader

    return TiffReader(path, mpp)


def _openslide(path: Path, mpp: float | None) -> Slide:
    from wsi_nucssl.slide.openslide_reader import OpenSlideReader

    return OpenSlideReader(path, mpp)


def _tiffslide(path: Path, mpp: float | None) -> Slide:
    from wsi_nucssl.slide.tiffslide_reader import TiffSlideReader

    return TiffSlideReader(path, mpp)


def _image(path: Path, mpp: float | None) -> Slide:
    from wsi_nucssl.slide.image_reader import ImageReader

    return ImageReader(path, mpp)


_BACKENDS: dict[str, Callable[[Path, float | None], Slide]] = {
    "tiff": _tiff,
    "openslide": _openslide,
    "tiffslide": _tiffslide,
    "image": _image,
}
