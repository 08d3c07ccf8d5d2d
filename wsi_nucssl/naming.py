"""What the outputs of many slides are called: by their stems, or, where that is not enough, by their folders too."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from wsi_nucssl.files import safe_stem
from wsi_nucssl.locations import Location, Url
from wsi_nucssl.slide_list import BATCH, ListedSlide


def with_names(slides: Sequence[ListedSlide], folders: Iterable[Path] = ()) -> tuple[ListedSlide, ...]:
    """The slides, each with the place of its outputs below their folder, without an ending.

    A name that a list gives stays. Otherwise it is the slide's stem; if folders were searched, or if two slides have
    one stem, the path of the slide below the folder that is common to all; and of two slides with one stem in one
    folder, and of a slide called as the batch's own files are, the name with its ending. Names that are alike once they
    are safe are numbered.

    Parameters
    ----------
    slides : sequence of ListedSlide
        All slides of the batch, also those that another process works on.
    folders : iterable of Path
        Those that were searched for slides.
    """
    stems = Counter(_stem(each) for each in slides)
    folders = list(folders)
    if not folders and max(stems.values(), default=1) == 1:
        places = {each: _stem(each) for each in slides}
    else:
        roots = _roots([_parts(each.slide)[:-1] for each in slides] + [_parts(folder) for folder in folders])
        places = {each: _place(each, roots) for each in slides}
    taken = Counter(places.values())
    return _apart(
        slides,
        {
            slide: _whole_name(slide, place) if taken[place] > 1 or _is_batchs(place) else place
            for slide, place in places.items()
        },
    )


def _apart(slides: Sequence[ListedSlide], names: dict[ListedSlide, str]) -> tuple[ListedSlide, ...]:
    """The slides with their names; of those that are alike once they are safe, such as "a b" and "a_b", numbered."""
    taken = {each.output for each in slides if each.output}
    found = {}
    for each in sorted(slides, key=lambda each: str(each.slide)):
        name, number = names[each], 2
        while name in taken and not each.output:
            name, number = f"{names[each]}-{number}", number + 1
        taken.add(name)
        found[each] = name
    return tuple(replace(each, output=found[each]) for each in slides)


def _is_batchs(place: str) -> bool:
    """True of what the ledger, the log and the page of a batch are called."""
    return place.lower() == BATCH


def _stem(each: ListedSlide) -> str:
    return each.output or safe_stem(each.slide)


def _parts(place: Location) -> tuple[str, ...]:
    """Folders and name of a place; the first part tells paths of one drive, and URLs of one protocol, apart."""
    if isinstance(place, Url):
        protocol, _, rest = str(place).partition("://")
        return (f"{protocol}://", *(part for part in rest.split("/") if part))
    return Path(os.path.normpath(place.absolute())).parts


def _roots(folders: Sequence[tuple[str, ...]]) -> dict[str, int]:
    """How many parts are common to all folders with the same first part."""
    grouped: dict[str, list[tuple[str, ...]]] = {}
    for parts in folders:
        grouped.setdefault(parts[0], []).append(parts)
    return {first: _common(group) for first, group in grouped.items()}


def _common(folders: Sequence[tuple[str, ...]]) -> int:
    """How many first parts are the same in all."""
    return next(
        (place for place, parts in enumerate(zip(*folders, strict=False)) if len({*parts}) > 1),
        min(map(len, folders)),
    )


def _place(each: ListedSlide, roots: dict[str, int]) -> str:
    if each.output:
        return each.output
    *folders, _ = _parts(each.slide)
    return "/".join([*map(_safe, folders[roots[folders[0]] :]), safe_stem(each.slide)])


def _whole_name(each: ListedSlide, place: str) -> str:
    folder, slash, _ = place.rpartition("/")
    return each.output or f"{folder}{slash}{_safe(each.slide.name)}"


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "folder"
