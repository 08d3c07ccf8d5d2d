"""Annotations that say where tissue is: one file for each slide, and how they are recorded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from wsi_nucssl.errors import UsageError
from wsi_nucssl.files import sha256_file
from wsi_nucssl.locations import Location
from wsi_nucssl.slide.annotation_files import is_one_file, one_for_several, own_path, placed_paths
from wsi_nucssl.slide.base import Slide
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE, TISSUES, choose_method, no_method, require_method


def tissues_by_place(method: str, names: Mapping[Location, str]) -> dict[Location, str]:
    """The way to find tissue for each slide of a batch: in a folder of files that of the slide's own place.

    Parameters
    ----------
    method : str
        A name of `TISSUES`, a file, or a folder whose files lie like the slides, or, if no two have one stem, flat.
    names : mapping of Location to str
        Each slide and its place, such as "site-a/x".

    Raises
    ------
    UsageError
        One file would serve several slides.
    """
    if method in TISSUES or not Path(method).is_dir():
        return dict.fromkeys(names, method)
    return {slide: str(path or method) for slide, path in placed_paths(Path(method), names, "tissue").items()}


def tissue_file(method: str, slide: Slide) -> Path:
    """The file that `method` stands for where it is no name of `TISSUES`.

    Raises
    ------
    UsageError
        There is no such file either.
    """
    path = own_path(_given(method), slide.path)
    if not path.is_file():
        raise UsageError(f"⟨tissue⟩ {method} holds no {path.name}", remedy=choose_method())
    return path


def _given(method: str) -> Path:
    """The file or folder that is no name of `TISSUES`."""
    require_method(method)
    path = Path(method)
    if path.is_file() or path.is_dir():
        return path
    raise no_method(method)


def check_tissue(slides: Collection[Location], method: str, written: Path | None = None) -> None:
    """See that tissue can be found so, and that one file of it is not read, nor `written`, for several slides.

    Raises
    ------
    UsageError
        It cannot, or would be.
    """
    given = [] if method in TISSUES else [_given(method)]
    for path in (*given, *([written] if written else [])):
        if len(slides) > 1 and is_one_file(path):
            raise one_for_several(path, slides, "tissue")


def tissue_record(method: str, slide: Slide) -> dict[str, str]:
    """What a manifest says of how tissue is found, the file by its hash; nothing where it is by default."""
    if method == DEFAULT_TISSUE:
        return {}
    return {"tissue": method if method in TISSUES else sha256_file(tissue_file(method, slide))}
