"""Files of annotations, one for each slide: a file, or a folder in which each slide has one of its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from wsi_nucssl.errors import UsageError
from wsi_nucssl.files import safe_stem
from wsi_nucssl.locations import Location, as_text

ENDING = ".geojson"
_LISTED = 5


def own_path(given: Path, slide: Location) -> Path:
    """A slide's file where `given` is a file, or a folder with one for each slide, by its stem."""
    return given if is_one_file(given) else given / f"{safe_stem(slide)}{ENDING}"


def is_one_file(given: Path) -> bool:
    """Whether what was given is a file, or would be one, and no folder of them."""
    return given.is_file() or given.suffix == ENDING


def placed_paths(folder: Path, names: Mapping[Location, str], what: str) -> dict[Location, Path | None]:
    """Each slide's own file, if any, in a folder whose files lie like the slides, or, if no two have one stem, flat.

    Parameters
    ----------
    folder : Path
        The folder.
    names : mapping of Location to str
        Each slide and its place, such as "site-a/x".
    what : str
        What the files hold, for messages.

    Raises
    ------
    UsageError
        One file would serve several slides.
    """
    stems = Counter(map(safe_stem, names))
    return {slide: _placed(folder, slide, name, stems, what) for slide, name in names.items()}


def _placed(folder: Path, slide: Location, name: str, stems: Counter[str], what: str) -> Path | None:
    placed, flat = folder / f"{name}{ENDING}", own_path(folder, slide)
    if placed.is_file():
        return placed
    if not flat.is_file():
        return None
    alike = stems[safe_stem(slide)]
    if alike > 1:
        raise UsageError(
            f"{flat.name} would be the {what} of {alike} slides",
            path=folder,
            remedy=f"Put this slide's at {name}{ENDING} in it, and the others' likewise",
        )
    return flat


def rois_by_place(roi: Path | None, names: Mapping[Location, str]) -> dict[Location, Path | None]:
    """The file of regions of each slide of a batch.

    Parameters
    ----------
    roi : Path or None
        A file, for one slide, or a folder; None for no regions.
    names : mapping of Location to str
        Each slide and its place.

    Raises
    ------
    UsageError
        There is no such file or folder, one file would serve several slides, or slides have none: the message names
        them.
    """
    if roi is None:
        return dict.fromkeys(names)
    if is_one_file(roi):
        if len(names) > 1:
            raise one_for_several(roi, names, "regions")
        if not roi.is_file():
            raise UsageError("there is no such file of regions", path=roi, remedy="Check ⟨roi⟩")
        return dict.fromkeys(names, roi)
    if not roi.is_dir():
        raise UsageError(
            "⟨roi⟩ is neither a file nor a folder",
            path=roi,
            remedy="Give a GeoJSON file of annotations, or a folder with one for each slide",
        )
    found = placed_paths(roi, names, "regions")
    without = [slide for slide, path in found.items() if path is None]
    if without:
        listed = ", ".join(as_text(slide.name) for slide in without[:_LISTED])
        more = f" and {len(without) - _LISTED} more" if len(without) > _LISTED else ""
        raise UsageError(
            f"⟨roi⟩ holds no file of {len(without)} of {len(names)} slides: {listed}{more}",
            path=roi,
            remedy=f"Put their regions at {names[without[0]]}{ENDING} and so on in it, or leave these slides out",
        )
    return found


def one_for_several(path: Path, slides: Collection[Location], what: str) -> UsageError:
    """The error of a single file where each slide wants its own."""
    return UsageError(
        f"one file of {what} for {len(slides)} slides",
        path=path,
        remedy="Give a folder, in which each slide has a file of its name",
    )
