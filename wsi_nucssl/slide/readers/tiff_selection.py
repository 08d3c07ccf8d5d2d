"""Which of a TIFF's images is the slide: the scan before previews, the scene asked for, planes and pyramids."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import tifffile

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Size
from wsi_nucssl.slide.part import PartChoice
from wsi_nucssl.slide.readers import aperio
from wsi_nucssl.slide.readers.ome import Ome, parse_ome
from wsi_nucssl.slide.readers.tiff_units import um_of

Planes = tuple[tifffile.TiffPage, ...]
"""The pages that hold the samples of one level: one page, or one for each of red, green and blue."""

Levels = tuple[Planes, ...]
"""A pyramid, finest first."""

FOREIGN: Final = ("is_ndpi", "is_scn", "is_bif", "is_philips", "is_lsm", "is_stk", "is_avs")
"""TIFFs of their own kinds, which are not told apart by what is known here."""

_REDUCED, _MASK, _PAGE_NAME = 1, 4, 285
_SECONDARY: Final = ("label", "macro", "thumbnail", "overview", "preview", "barcode", "map")
_RIVAL_SHARE: Final = 0.5
"""An image of at least this fraction of the scan's pixels, which nothing calls a preview, is another scene."""

_RESOLUTIONS: Final = ("XResolution", "YResolution")


@dataclass(frozen=True, slots=True)
class Selection:
    """The slide.

    Attributes
    ----------
    stack : tuple of Levels
        For each of its focus planes, the pyramid.
    associated : mapping of str to int
        Associated images by page index.
    properties : mapping of str to str
        What the file says beside its tags.
    scenes, scene : tuple of str, and int
        Names of the file's scenes, and which of them this is.
    """

    stack: tuple[Levels, ...]
    vendor: str = "generic-tiff"
    associated: Mapping[str, int] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    scenes: tuple[str, ...] = ("",)
    scene: int = 0


def select_images(tiff: tifffile.TiffFile, path: str, choice: PartChoice) -> Selection:
    """Choose the slide among a TIFF's images.

    Raises
    ------
    SlideError
        There are several scenes and none or another is asked for, or it is fluorescence, a time series or a part of
        several files.
    """
    pages = [page.aspage() for page in tiff.pages]
    if aperio.is_aperio(pages[0].description):
        choice.scene_of(("",), path)
        return _aperio(pages)
    if tiff.is_ome:
        return _ome(tiff, parse_ome(tiff.ome_metadata or "", path), path, choice)
    if tiff.is_imagej:
        choice.scene_of(("",), path)
        return _imagej(tiff, pages, path)
    return _generic(pages, path, choice)


def _aperio(pages: Sequence[tifffile.TiffPage]) -> Selection:
    """A focus stack's planes follow one another with their levels: the first of each size are the first plane."""
    by_size: dict[Size, list[tifffile.TiffPage]] = {}
    for index, page in enumerate(pages):
        if page.is_tiled or not index:
            by_size.setdefault(_size(page), []).append(page)
    associated = {
        name: index
        for index, page in enumerate(pages)
        if not page.is_tiled and (name := aperio.associated_name(page.description, index))
    }
    planes = len(by_size[_size(pages[0])])
    stack = tuple(
        _finest_first(alike[plane] for alike in by_size.values() if not plane or len(alike) == planes)
        for plane in range(planes)
    )
    return Selection(stack, "aperio", associated)


def _generic(pages: Sequence[tifffile.TiffPage], path: str, choice: PartChoice) -> Selection:
    candidates = [
        page for page in pages if not page.subfiletype & (_REDUCED | _MASK) and not _is_secondary(page)
    ]
    candidates = candidates or [pages[0]]
    largest = max(candidates, key=lambda page: (page.is_tiled, _size(page).area))
    scans = [
        page
        for page in candidates
        if page is largest
        or (page.is_tiled == largest.is_tiled and _size(page).area >= _RIVAL_SHARE * _size(largest).area)
    ]
    names = tuple(_name(page) for page in scans) if len(scans) > 1 else ("",)
    number = choice.scene_of(names, path)
    scan, following = scans[number], scans[number + 1 : number + 2]
    after = pages[scan.index + 1 : following[0].index if following else None]
    reduced = [page for page in after if page.subfiletype & _REDUCED and not page.subfiletype & _MASK]
    levels = [page for page in [*_sub_images(scan), *reduced] if _is_level(page, scan)]
    return Selection((_finest_first([scan, *levels]),), scenes=names, scene=number)


def _name(page: tifffile.TiffPage) -> str:
    """What a scene is called: as its page is, else by its size."""
    return str(page.tags.valueof(_PAGE_NAME, "")).strip() or (
        f"{_size(page)} px, {page.samplesperpixel} samples"
    )


def _is_level(page: tifffile.TiffPage, scan: tifffile.TiffPage) -> bool:
    alike = (page.photometric, page.samplesperpixel) == (scan.photometric, scan.samplesperpixel)
    return bool(page.is_tiled and alike and not _is_secondary(page) and page.imagewidth < scan.imagewidth)


def _sub_images(page: tifffile.TiffPage) -> list[tifffile.TiffPage]:
    return [] if page.pages is None else [each.aspage() for each in page.pages]


def _is_secondary(page: tifffile.TiffPage) -> bool:
    words = page.description[:200].lower().split()
    return any(word in _SECONDARY for word in words[:3])


def _imagej(tiff: tifffile.TiffFile, pages: Sequence[tifffile.TiffPage], path: str) -> Selection:
    said = tiff.imagej_metadata or {}
    for axis in ("channels", "frames"):
        if int(said.get(axis, 1)) > 1:
            raise _not_a_slide(f"an ImageJ stack of {said[axis]} {axis}", path)
    unit = str(said.get("unit", ""))
    lengths: dict[str, str] = {}
    for axis, name in zip("xy", _RESOLUTIONS, strict=True):
        top, under = pages[0].tags.valueof(name, (0, 1))
        um = um_of(under / top, unit) if top and under else None
        lengths |= {} if um is None else {f"imagej.mpp-{axis}": f"{um:.10g}"}
    slices = int(said.get("slices", said.get("images", 1)))
    if slices > 1 and len(pages) != slices:
        raise _not_a_slide(f"an ImageJ stack of {slices} slices, of which it lists {len(pages)}", path)
    return Selection(tuple(((page,),) for page in pages[:slices]), properties=lengths)


def _ome(tiff: tifffile.TiffFile, ome: Ome, path: str, choice: PartChoice) -> Selection:
    series = tiff.series
    if len(series) != len(ome.images):
        raise _not_a_slide(f"an OME-TIFF of {len(ome.images)} images of which it holds {len(series)}", path)
    scenes = [index for index, image in enumerate(ome.images) if not _names_secondary(image.name)] or [0]
    names = tuple(ome.images[index].name for index in scenes)
    number = choice.scene_of(names, path)
    image, slide = ome.images[scenes[number]], series[scenes[number]]
    if image.is_fluorescence:
        raise _not_a_slide(f"fluorescence ({image.channels_in_words})", path)
    depth = _depth(slide)
    pyramid = [level for level in slide.levels if _depth(level) == depth]
    stack = tuple(_ome_levels(pyramid, plane, image.are_colours, path) for plane in range(depth))
    return Selection(stack, properties=image.properties, scenes=names, scene=number)


def _depth(level: tifffile.TiffPageSeries) -> int:
    return int(dict(zip(level.axes, level.shape, strict=True)).get("Z", 1))


def _ome_levels(
    pyramid: Sequence[tifffile.TiffPageSeries], plane: int, are_colours: bool, path: str
) -> Levels:
    finest, *others = (_ome_planes(level, plane, are_colours, path) for level in pyramid)
    return (finest, *(pages for pages in others if pages[0].is_tiled))


def _ome_planes(level: tifffile.TiffPageSeries, plane: int, are_colours: bool, path: str) -> Planes:
    """The pages of one of a level's focus planes."""
    sizes = dict(zip(level.axes, level.shape, strict=True))
    odd = [f"{size} of {axis}" for axis, size in sizes.items() if axis not in "CZYXS" and size > 1]
    if odd:
        raise _not_a_slide(f"a series ({', '.join(odd)})", path)
    channels = sizes.get("C", 1)
    if channels > 1 and not are_colours:
        raise _not_a_slide(
            f"fluorescence, or {channels} channels of which nothing says that they are colours", path
        )
    outer = {axis: size for axis, size in sizes.items() if axis not in "YXS"}
    if len(level.pages) == 1 and list(outer) == ["C"] and level.keyframe.samplesperpixel == channels:
        return (level.keyframe,)
    if len(level.pages) != math.prod(outer.values()):
        raise _not_a_slide("an OME-TIFF of which planes are stored together", path)
    steps = {axis: math.prod(list(outer.values())[place + 1 :]) for place, axis in enumerate(outer)}
    first = plane * steps.get("Z", 0)
    pages = [level.pages[first + channel * steps.get("C", 0)] for channel in range(channels)]
    found = tuple(page.aspage() for page in pages if page is not None)
    if len(found) < len(pages):
        raise _not_a_slide("one file of an OME-TIFF of several files", path)
    return found


def _names_secondary(name: str) -> bool:
    return any(word in name.lower() for word in _SECONDARY[:-1])


def _finest_first(pages: Iterable[tifffile.TiffPage]) -> tuple[Planes, ...]:
    return tuple((page,) for page in sorted(pages, key=lambda page: -page.imagewidth))


def _size(page: tifffile.TiffPage) -> Size:
    return Size(page.imagewidth, page.imagelength)


def _not_a_slide(what: str, path: str) -> SlideError:
    return SlideError(
        f"it is {what}, no bright field in colour", path=path, remedy="Export one image of it as RGB"
    )
