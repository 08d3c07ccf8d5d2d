"""The page of a slide and of files of its nuclei: opened, converted once, ready to be served or written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wsi_nucssl.doubts import Doubt
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.geometry import Mpp, Point
from wsi_nucssl.locations import Location
from wsi_nucssl.slide import Slide, identity, open_slide
from wsi_nucssl.slide.part import ANY_PART, PartChoice
from wsi_nucssl.viewer.batch import Batch
from wsi_nucssl.viewer.batches import NucleiSource
from wsi_nucssl.viewer.cache import kept, key_of
from wsi_nucssl.viewer.matching import write_matches
from wsi_nucssl.viewer.reading import TiledNuclei
from wsi_nucssl.viewer.sites import Site, TiledSet
from wsi_nucssl.viewer.tiling import write_tiles

OnNuclei = Callable[[Path, int], object]
"""Is told which file is being converted, and how many of its nuclei have been."""


@dataclass(frozen=True, slots=True)
class SlideChoice:
    """How a slide is opened.

    Attributes
    ----------
    reader : str
        "auto", or the name of a reader.
    mpp : float or None
        µm per level-0 px, where the file does not say it.
    part : PartChoice
        Which image of the file; where nothing is asked for, that of the nuclei.
    """

    reader: str = "auto"
    mpp: float | None = None
    part: PartChoice = ANY_PART


_ANY: Final = SlideChoice()


@contextmanager
def open_site(
    slide: Location,
    nuclei: Sequence[Path] = (),
    *,
    choice: SlideChoice = _ANY,
    anyway: bool = False,
    on_nuclei: OnNuclei = lambda _path, _count: None,
) -> Iterator[Site]:
    """The page of a slide; the slide is open as long as the context lasts.

    Parameters
    ----------
    slide : Location
        The slide.
    nuclei : sequence of Path
        No, one or two files of nuclei.
    choice : SlideChoice
        How to open the slide.
    anyway : bool
        Show nuclei that were found on another slide.
    on_nuclei : OnNuclei
        Is told how far a conversion is.

    Raises
    ------
    SlideError
        The slide cannot be opened.
    InputError
        A file of nuclei cannot be read, or is of another slide.
    """
    if len(nuclei) > 2:
        raise UsageError("at most two results are compared", remedy="Give one or two files of nuclei")
    part = choice.part
    if part == ANY_PART and nuclei:
        part = PartChoice.recorded(NucleiSource(nuclei[0], Point(0, 0)).header)
    with open_slide(
        slide, reader=choice.reader, mpp=choice.mpp, scene=part.scene, focus=part.focus
    ) as opened:
        yield _site(opened, nuclei, anyway=anyway, on_nuclei=on_nuclei)


def _site(slide: Slide, nuclei: Sequence[Path], *, anyway: bool, on_nuclei: OnNuclei) -> Site:
    folders = [_tiles(path, slide, on_nuclei) for path in nuclei]
    opened = [TiledNuclei.open(folder) for folder in folders]
    own = identity(slide) if nuclei else ""
    doubts: list[Doubt] = []
    for path, tiled in zip(nuclei, opened, strict=True):
        doubts += [Doubt(**each) for each in tiled.index["doubts"]]
        doubts += _of_another_slide(path, tiled.index["header"], own, anyway=anyway)
    matches = None
    if len(nuclei) == 2:
        first, second = opened
        matches = kept(
            nuclei[0], "matches", lambda folder: write_matches(folder, first, second), key_of(nuclei[1])
        )
    return Site(
        slide,
        slide.path.name,
        tuple(TiledSet(name, folder) for name, folder in zip(_names(nuclei), folders, strict=True)),
        matches,
        tuple(doubts),
        _mpp(slide, opened),
    )


def _tiles(path: Path, slide: Slide, on_nuclei: OnNuclei) -> Path:
    """The folder of a file's tiles, made now if nobody has made it."""

    def make(folder: Path) -> None:
        source = NucleiSource(path, slide.bounds.origin)
        about: dict[str, Any] = {"name": path.name, "header": dict(source.header), "doubts": []}

        def counted() -> Iterator[Batch]:
            count = 0
            for batch in source:
                count += len(batch)
                on_nuclei(path, count)
                yield batch
            about["doubts"] = [_as_json(doubt) for doubt in source.doubts]

        write_tiles(folder, counted(), slide.dimensions, slide.mpp, about)

    size, corner = slide.dimensions, slide.bounds.origin
    return kept(path, "tiles", make, f"{size} {corner.x} {corner.y} {slide.mpp}")


def _as_json(doubt: Doubt) -> dict[str, str]:
    return {"kind": doubt.kind, "what": doubt.what, "remedy": doubt.remedy}


def _of_another_slide(path: Path, header: Mapping[str, Any], own: str, *, anyway: bool) -> list[Doubt]:
    """A doubt where a file says that it was made of another slide, which is an error unless it is wanted anyway."""
    if header.get("slide", own) == own:
        return []
    what = (
        f"{path.name} holds nuclei of another slide, {header.get('slide_name', 'whose name it does not say')}"
    )
    if anyway:
        return [Doubt("other-slide", what, "Open the slide that they were found on")]
    raise InputError(
        "its nuclei were found on another slide",
        path=path,
        remedy="Give the slide that they are of, or add ⟨anyway⟩",
    )


def _names(paths: Sequence[Path]) -> list[str]:
    """What tells the files apart: their names, with folders where these are the same."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _mpp(slide: Slide, opened: Sequence[TiledNuclei]) -> Mpp | None:
    """The slide's resolution, else that which its nuclei were found at."""
    if slide.mpp is not None:
        return slide.mpp
    stated = next(
        (each.index["header"]["slide_mpp"] for each in opened if "slide_mpp" in each.index["header"]), None
    )
    try:
        return None if stated is None else Mpp.parse(stated)
    except UsageError:
        return None
