"""Annotations that say where tissue is: one file for each slide, and how they are recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from wsi_nucssl.errors import UsageError
from wsi_nucssl.files import safe_stem, sha256_file
from wsi_nucssl.locations import Location
from wsi_nucssl.slide.base import Slide
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE, TISSUES

_ENDING = ".geojson"


def tissue_path(given: Path, slide: Location) -> Path:
    """A slide's file where `given` is a file, or a folder with one for each slide, by its stem."""
    return given if given.is_file() or given.suffix == _ENDING else given / f"{safe_stem(slide)}{_ENDING}"


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
    stems = Counter(map(safe_stem, names))
    return {slide: _own_tissue(Path(method), slide, name, stems) for slide, name in names.items()}


def _own_tissue(folder: Path, slide: Location, name: str, stems: Counter[str]) -> str:
    placed = folder / f"{name}{_ENDING}"
    if placed.is_file():
        return str(placed)
    if stems[safe_stem(slide)] > 1 and tissue_path(folder, slide).is_file():
        raise UsageError(
            f"{tissue_path(folder, slide).name} would be the tissue of {stems[safe_stem(slide)]} slides",
            path=folder,
            remedy=f"Put this slide's at {name}{_ENDING} in it, and the others' likewise",
        )
    return str(folder)


def tissue_file(method: str, slide: Slide) -> Path:
    """The file that `method` stands for where it is no name of `TISSUES`.

    Raises
    ------
    UsageError
        There is no such file either.
    """
    path = tissue_path(_given(method), slide.path)
    if not path.is_file():
        raise UsageError(f"⟨tissue⟩ {method} holds no {path.name}", remedy=_remedy())
    return path


def _given(method: str) -> Path:
    """The file or folder that is no name of `TISSUES`."""
    path = Path(method)
    if path.is_file() or path.is_dir():
        return path
    raise UsageError(f"⟨tissue⟩ {method!r} is neither a file nor a way to find tissue", remedy=_remedy())


def _remedy() -> str:
    return f"Choose one of {', '.join(TISSUES.names)}, or a GeoJSON file of annotations"


def check_tissue(slides: Collection[Location], method: str, written: Path | None = None) -> None:
    """See that tissue can be found so, and that one file of it is not read, nor `written`, for several slides.

    Raises
    ------
    UsageError
        It cannot, or would be.
    """
    given = [] if method in TISSUES else [_given(method)]
    for path in (*given, *([written] if written else [])):
        if len(slides) > 1 and (path.is_file() or path.suffix == _ENDING):
            raise UsageError(
                f"one file of tissue for {len(slides)} slides",
                path=path,
                remedy="Give a folder, in which each slide has a file of its name",
            )


def tissue_record(method: str, slide: Slide) -> dict[str, str]:
    """What a manifest says of how tissue is found, the file by its hash; nothing where it is by default."""
    if method == DEFAULT_TISSUE:
        return {}
    return {"tissue": method if method in TISSUES else sha256_file(tissue_file(method, slide))}
