"""What a batch is given, as slides: files and URLs, folders, lists, in any mix; each slide once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.locations import Location
from wsi_nucssl.naming import with_names
from wsi_nucssl.slide.finding import Found, slides_in
from wsi_nucssl.slide_list import STANDARD_INPUT, ListedSlide, read_slide_list


@dataclass(frozen=True, slots=True)
class SlideInputs:
    """The slides of a batch.

    Attributes
    ----------
    slides : tuple of ListedSlide
        Each once, in the order in which they were given, those of a folder by path; `output` is the place of each
        one's outputs.
    searched : tuple of Found
        What each folder held.
    """

    slides: tuple[ListedSlide, ...]
    searched: tuple[Found, ...] = ()


def gather_slides(
    given: Sequence[Location], slide_list: Path | None = None, *, force_mpp: bool = False
) -> SlideInputs:
    """The slides that are named, those in folders, and those of a list.

    Parameters
    ----------
    given : sequence of Location
        Files, URLs and folders; the path `-` is a list on standard input.
    slide_list : Path, optional
        A list, as `read_slide_list` takes it; its lines may name folders too, to which their mpp applies.
    force_mpp : bool
        Do not question an unusual mpp of the list.

    Raises
    ------
    UsageError
        Nothing is given, or standard input twice.
    InputError
        A list cannot be read, or the folders hold no slide.
    """
    lists = [each for each in (*given, slide_list) if each == STANDARD_INPUT]
    if len(lists) > 1:
        raise UsageError("standard input is read once", remedy="Give - once")
    listed: list[ListedSlide] = []
    for place in given:
        is_list = place == STANDARD_INPUT
        listed += read_slide_list(STANDARD_INPUT, force_mpp=force_mpp) if is_list else [ListedSlide(place)]
    if slide_list is not None:
        listed += read_slide_list(slide_list, force_mpp=force_mpp)
    if not listed:
        raise UsageError("no slide is given", remedy="Name slides, or give a list of them with ⟨slides⟩")
    folders = [each.slide for each in listed if _is_folder(each) and isinstance(each.slide, Path)]
    searched: dict[Location, Found] = {folder: slides_in(folder) for folder in folders}
    if len(folders) == len(listed) and not any(found.slides for found in searched.values()):
        raise _nothing(searched.values())
    slides = _each_once(slide for each in listed for slide in _expanded(each, searched))
    names = with_names(slides, [folder for folder in folders if searched[folder].slides])
    return SlideInputs(names, tuple(searched.values()))


def _is_folder(each: ListedSlide) -> bool:
    if not (isinstance(each.slide, Path) and each.slide.is_dir()):
        return False
    if each.output:
        raise UsageError(
            "an output's name stands beside a folder", path=each.slide, remedy="Leave the column output empty"
        )
    return True


def _expanded(each: ListedSlide, searched: dict[Location, Found]) -> Iterable[ListedSlide]:
    """The slides of a folder; one that holds none stays, and is an error when its turn comes."""
    found = searched.get(each.slide)
    return [replace(each, slide=path) for path in found.slides] if found and found.slides else [each]


def _each_once(slides: Iterable[ListedSlide]) -> list[ListedSlide]:
    """Of several entries of one file one, at the place of the first: that which says most, else the first by name."""
    entries: dict[Location, ListedSlide] = {}
    for each in slides:
        file = Path(os.path.realpath(each.slide)) if isinstance(each.slide, Path) else each.slide
        other = entries.get(file)
        entries[file] = each if other is None else min(other, each, key=_preference)
    return list(entries.values())


def _preference(each: ListedSlide) -> tuple[bool, bool, str]:
    return not each.output, each.mpp is None, str(each.slide)


def _nothing(searched: Iterable[Found]) -> InputError:
    return InputError(
        "no slide was found: " + "; ".join(found.message for found in searched),
        remedy="Give the folder that holds slides; a file that is named is taken whatever its ending",
    )
