"""Which of a TIFF's images is the slide: the scan before previews, its first plane, and its pyramid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import tifffile

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Size
from wsi_nucssl.slide.readers import aperio
from wsi_nucssl.slide.readers.ome import Ome, parse_ome
from wsi_nucssl.slide.readers.tiff_units import um_of

Planes = tuple[tifffile.TiffPage, ...]
"""The pages that hold the samples of one level: one page, or one for each of red, green and blue."""

_REDUCED, _MASK = 1, 4
_SECONDARY: Final = ("label", "macro", "thumbnail", "overview", "preview", "barcode", "map")
_RIVAL_SHARE: Final = 0.5
"""An image of at least this share of the scan's pixels, which nothing calls a preview, is another scene."""

_RESOLUTIONS: Final = ("XResolution", "YResolution")


@dataclass(frozen=True, slots=True)
class Selection:
    """The slide's levels, finest first; associated images by page index; and what the file says beside its tags."""

    levels: tuple[Planes, ...]
    vendor: str = "generic-tiff"
    associated: Mapping[str, int] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


def select_images(tiff: tifffile.TiffFile, path: str) -> Selection:
    """Choose the slide among a TIFF's images.

    Raises
    ------
    SlideError
        There are several, or it is fluorescence, a time series or a part of several files.
    """
    pages = [page.aspage() for page in tiff.pages]
    if aperio.is_aperio(pages[0].description):
        return _aperio(pages)
    if tiff.is_ome:
        return _ome(tiff, parse_ome(tiff.ome_metadata or "", path), path)
    if tiff.is_imagej:
        return _imagej(tiff, pages[0], path)
    return _generic(pages, path)


def _aperio(pages: Sequence[tifffile.TiffPage]) -> Selection:
    """Of a focus stack's planes, which follow one another with their levels, the first of each size."""
    tiled = [page for index, page in enumerate(pages) if page.is_tiled or not index]
    first: dict[tuple[int, int], tifffile.TiffPage] = {}
    for page in tiled:
        first.setdefault((page.imagewidth, page.imagelength), page)
    associated = {
        name: index
        for index, page in enumerate(pages)
        if not page.is_tiled and (name := aperio.associated_name(page.description, index))
    }
    planes = sum(_size(page) == _size(pages[0]) for page in tiled)
    said = {"tiff.FocusPlanes": f"{planes}, of which the first is read"} if planes > 1 else {}
    return Selection(_finest_first(first.values()), "aperio", associated, said)


def _generic(pages: Sequence[tifffile.TiffPage], path: str) -> Selection:
    candidates = [
        page for page in pages if not page.subfiletype & (_REDUCED | _MASK) and not _is_secondary(page)
    ]
    scan = max(candidates or pages[:1], key=lambda page: (page.is_tiled, _size(page).area))
    rivals = [
        page
        for page in candidates
        if page is scan
        or (page.is_tiled == scan.is_tiled and _size(page).area >= _RIVAL_SHARE * _size(scan).area)
    ]
    if len(rivals) > 1:
        raise _several([f"{_size(page)} px, {page.samplesperpixel} samples" for page in rivals], path)
    after = pages[[page is scan for page in pages].index(True) + 1 :]
    reduced = [page for page in after if page.subfiletype & _REDUCED and not page.subfiletype & _MASK]
    levels = [page for page in [*_sub_images(scan), *reduced] if _is_level(page, scan)]
    return Selection(_finest_first([scan, *levels]))


def _is_level(page: tifffile.TiffPage, scan: tifffile.TiffPage) -> bool:
    alike = (page.photometric, page.samplesperpixel) == (scan.photometric, scan.samplesperpixel)
    return bool(page.is_tiled and alike and not _is_secondary(page) and page.imagewidth < scan.imagewidth)


def _sub_images(page: tifffile.TiffPage) -> list[tifffile.TiffPage]:
    return [] if page.pages is None else [each.aspage() for each in page.pages]


def _is_secondary(page: tifffile.TiffPage) -> bool:
    words = page.description[:200].lower().split()
    return any(word in _SECONDARY for word in words[:3])


def _imagej(tiff: tifffile.TiffFile, page: tifffile.TiffPage, path: str) -> Selection:
    said = tiff.imagej_metadata or {}
    for axis in ("channels", "frames"):
        if int(said.get(axis, 1)) > 1:
            raise _not_a_slide(f"an ImageJ stack of {said[axis]} {axis}", path)
    unit = str(said.get("unit", ""))
    lengths: dict[str, str] = {}
    for axis, name in zip("xy", _RESOLUTIONS, strict=True):
        top, under = page.tags.valueof(name, (0, 1))
        um = um_of(under / top, unit) if top and under else None
        lengths |= {} if um is None else {f"imagej.mpp-{axis}": f"{um:.10g}"}
    slices = int(said.get("slices", said.get("images", 1)))
    planes = {"tiff.FocusPlanes": f"{slices}, of which the first is read"} if slices > 1 else {}
    return Selection(((page,),), properties={**lengths, **planes})


def _ome(tiff: tifffile.TiffFile, ome: Ome, path: str) -> Selection:
    series = tiff.series
    if len(series) != len(ome.images):
        raise _not_a_slide(f"an OME-TIFF of {len(ome.images)} images of which it holds {len(series)}", path)
    scenes = [index for index, image in enumerate(ome.images) if not _names_secondary(image.name)]
    if len(scenes) > 1:
        raise _several([f"{ome.images[index].name or 'without a name'}" for index in scenes], path)
    chosen = scenes[0] if scenes else 0
    image, slide = ome.images[chosen], series[chosen]
    if image.is_fluorescence:
        raise _not_a_slide(f"fluorescence ({image.channels_in_words})", path)
    levels = tuple(_ome_planes(level, image.are_colours, path) for level in slide.levels)
    kept = (levels[0], *(each for each in levels[1:] if each[0].is_tiled))
    depth = dict(zip(slide.axes, slide.shape, strict=True)).get("Z", 1)
    planes = {"tiff.FocusPlanes": f"{depth}, of which the first is read"} if depth > 1 else {}
    return Selection(kept, properties={**image.properties, **planes})


def _ome_planes(level: tifffile.TiffPageSeries, are_colours: bool, path: str) -> Planes:
    """The pages of a level's first plane."""
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
    inner = list(outer)[list(outer).index("C") + 1 :] if "C" in outer else []
    step = math.prod(outer[axis] for axis in inner)
    pages = [level.pages[channel * step] for channel in range(channels)]
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


def _several(found: Sequence[str], path: str) -> SlideError:
    listed = "; ".join(f"{index}: {words}" for index, words in enumerate(found[:20]))
    return SlideError(
        f"it holds {len(found)} images, scenes or planes, and nothing says which is the slide ({listed})",
        path=path,
        remedy="Export the one that you want as a file of its own",
    )


def _not_a_slide(what: str, path: str) -> SlideError:
    return SlideError(
        f"it is {what}, no bright field in colour", path=path, remedy="Export one image of it as RGB"
    )
