"""What every backend shares: clipping, white outside the slide, resolution, the context manager."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from wsi_nucssl.errors import SlideError, UsageError
from wsi_nucssl.geometry import Box, Mpp, Point, Size
from wsi_nucssl.locations import Location, absolute
from wsi_nucssl.mpp import GivenMpp
from wsi_nucssl.photometric import flatten_alpha as flatten_alpha
from wsi_nucssl.slide.base import RGB, Level, Slide
from wsi_nucssl.slide.base import WHITE as WHITE
from wsi_nucssl.slide.opening import open_slide
from wsi_nucssl.slide.part import WHOLE_FILE, Part
from wsi_nucssl.slide.resolution import settled_mpp, stated_mpp
from wsi_nucssl.slide.views import Views


@dataclass(frozen=True, slots=True)
class SlideMetadata:
    """What a backend learns on opening a file. `bounds` None means the whole of level 0."""

    sizes: tuple[Size, ...]
    vendor: str
    properties: Mapping[str, str]
    associated_images: tuple[str, ...]
    bounds: Box | None = None
    part: Part = WHOLE_FILE


class Reader(Views, ABC):
    """A slide on some backend; subclasses decode boxes that lie inside a level.

    Their `name` is that under which they are registered: a slide pickles as its path, that name and the mpp given.
    Those of plain images, which hold the picture whole, set `is_plain_image`.

    Parameters
    ----------
    path : Location
        The file, or its URL.
    metadata : SlideMetadata
        What the backend learnt from it.
    mpp : GivenMpp
        What the user says of its resolution.
    """

    name: str
    is_plain_image: bool = False

    def __init__(self, path: Location, metadata: SlideMetadata, mpp: GivenMpp) -> None:
        self._path = path
        self._metadata = metadata
        self._given_mpp = mpp
        self._levels = tuple(Level(size, _downsample(metadata.sizes[0], size)) for size in metadata.sizes)
        self._bounds = metadata.bounds or Box.at(Point(0, 0), metadata.sizes[0])
        self._mpp, self._mpp_source = settled_mpp(*stated_mpp(metadata.properties), mpp)

    @abstractmethod
    def _decode(self, level: int, box: Box) -> RGB:
        """The pixels of `box`, a box that is not empty and lies inside `level`."""

    @abstractmethod
    def _decode_associated(self, name: str) -> RGB: ...

    @abstractmethod
    def close(self) -> None:
        """Give back the file handle. Closing twice is fine."""

    @property
    def path(self) -> Location:
        """The file, or its URL."""
        return self._path

    @property
    def reader(self) -> str:
        """Name of the backend."""
        return self.name

    @property
    def levels(self) -> tuple[Level, ...]:
        """Finest first."""
        return self._levels

    @property
    def dimensions(self) -> Size:
        """Size of level 0 in px."""
        return self._levels[0].size

    @property
    def mpp(self) -> Mpp | None:
        """µm per level-0 px, None where unknown."""
        return self._mpp

    @property
    def mpp_source(self) -> str:
        """Where `mpp` comes from; "" if unknown."""
        return self._mpp_source

    @property
    def is_mpp_forced(self) -> bool:
        """True if the user vouches for `mpp`."""
        return self._given_mpp.is_forced

    @property
    def bounds(self) -> Box:
        """Level-0 box of the scanned area."""
        return self._bounds

    @property
    def vendor(self) -> str:
        """Format of the scanner."""
        return self._metadata.vendor

    @property
    def properties(self) -> Mapping[str, str]:
        """The file's own metadata."""
        return self._metadata.properties

    @property
    def associated_images(self) -> tuple[str, ...]:
        """Names of the label, macro and thumbnail images."""
        return self._metadata.associated_images

    @property
    def part(self) -> Part:
        """Which image of its file it is."""
        return self._metadata.part

    def read_region(self, location_l0: Point | Sequence[int], level: int, size: Size | Sequence[int]) -> RGB:
        """Read `size` px of `level` whose top left pixel lies nearest to level-0 `location_l0`."""
        location, shape = Point.parse(location_l0, "location_l0"), Size.parse(size)
        downsample = self._level(level).downsample
        origin = Point(math.floor(location.x / downsample + 0.5), math.floor(location.y / downsample + 0.5))
        return self.read_level(level, Box.at(origin, shape))

    def read_level(self, level: int, box: Box) -> RGB:
        """Read `box`, in px of `level`; white outside the slide."""
        inside = box.clip(Box.at(Point(0, 0), self._level(level).size))
        if inside == box and not box.is_empty:
            return self._decode(level, box)
        image = np.full((*box.size.shape_rc, 3), WHITE, np.uint8)
        if not inside.is_empty:
            image[inside.relative_to(box.origin).rc] = self._decode(level, inside)
        return image

    def associated_image(self, name: str) -> RGB:
        """The label, macro or thumbnail image of that name."""
        if name not in self.associated_images:
            known = ", ".join(self.associated_images) or "none"
            raise UsageError(f"no associated image {name!r}; this slide has: {known}", path=str(self._path))
        return self._decode_associated(name)

    def hold_at_most(self, tile_bytes: int) -> None:
        """Keep no more than so many bytes of decoded pixels between reads; readers that keep some override it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _open_again, (absolute(self._path), self.name, self._given_mpp, self.part)

    def _level(self, level: int) -> Level:
        if not 0 <= level < len(self._levels):
            raise UsageError(
                f"no level {level}; this slide has 0 to {len(self._levels) - 1}", path=str(self._path)
            )
        return self._levels[level]

    def _damaged(self, what: str) -> SlideError:
        return SlideError(
            what, path=str(self._path), remedy="Copy or export the slide again; this file is damaged"
        )


def _open_again(path: Location, reader: str, mpp: GivenMpp, part: Part) -> Slide:
    choice = part.choice
    return open_slide(
        path, reader=reader, mpp=mpp.um, force_mpp=mpp.is_forced, scene=choice.scene, focus=choice.focus
    )


def _downsample(finest: Size, size: Size) -> float:
    """Level-0 px per px: the whole number that explains both sides by rounding, else the mean ratio.

    Writers halve odd sizes by dropping a column. Taking the ratio of the sizes instead (4443 / 2221 = 2.0005)
    would shift the far edge of a slide by pixels.
    """
    ratio = (finest.width / size.width + finest.height / size.height) / 2
    whole = round(ratio)
    pairs = ((finest.width, size.width), (finest.height, size.height))
    if all(abs(fine / whole - coarse) < 1 for fine, coarse in pairs):
        return float(whole)
    return ratio


def stated_bounds(properties: Mapping[str, str], library: str) -> Box | None:
    """The scanned area that `LIBRARY.bounds-*` state, None where they do not."""
    names = [f"{library}.bounds-{side}" for side in ("x", "y", "width", "height")]
    if not all(name in properties for name in names):
        return None
    x, y, width, height = (int(properties[name]) for name in names)
    return Box.at(Point(x, y), Size(width, height))
