"""What a slide is: one contract, thin backends behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TypeGuard

from wsi_nucssl.checks import shown
from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Mpp, Point, Size
from wsi_nucssl.locations import Location
from wsi_nucssl.resample import RGB as RGB
from wsi_nucssl.slide.part import Part

if TYPE_CHECKING:
    import dask.array

WHITE = 255
"""What lies outside a slide."""


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of the pyramid. `downsample` is level-0 px per px of this level (≥ 1)."""

    size: Size
    downsample: float


class Slide(Protocol):
    """A whole-slide image, read-only and safe to share among threads.

    Slides pickle as how to open them again, so that workers of a pool, of dask or of a DataLoader each open their own.

    Attributes
    ----------
    path : Location
        The file it came from: a `Path`, or a `Url` for one that is elsewhere.
    reader : str
        Name of the backend in the registry of readers, such as "tiff" or "openslide".
    levels : tuple of Level
        Finest first; `levels[0].downsample` is 1.
    mpp : Mpp or None
        µm per level-0 px, or None where the file does not say. Never guessed.
    mpp_source : str
        Where `mpp` comes from, for instance "aperio.MPP", or "given" or "forced" by the user; "" if unknown.
    is_mpp_forced : bool
        True if the user vouches for `mpp`, so that it is not questioned.
    bounds : Box
        level-0 box of the scanned area (`openslide.bounds-*`); all of level 0 where the file names none.
    vendor : str
        The scanner's format as OpenSlide names it ("aperio", "hamamatsu", …), "generic-tiff" or "image".
    properties : mapping of str to str
        The file's own metadata, as strings.
    associated_images : tuple of str
        Names of the label, macro and thumbnail images.
    is_plain_image : bool
        True for a picture that is decoded on opening and held whole, 3 bytes a px: all of it is taken for tissue, and
        nobody expects it to state an mpp.
    part : Part
        Which image of its file it is, where that holds several scenes or focus planes.
    """

    @property
    def path(self) -> Location:
        """The file it came from."""
        ...

    @property
    def reader(self) -> str:
        """Name of the backend."""
        ...

    @property
    def levels(self) -> tuple[Level, ...]:
        """Finest first."""
        ...

    @property
    def mpp(self) -> Mpp | None:
        """µm per level-0 px, None where unknown."""
        ...

    @property
    def mpp_source(self) -> str:
        """Where `mpp` comes from; "" if unknown."""
        ...

    @property
    def is_mpp_forced(self) -> bool:
        """True if the user vouches for `mpp`."""
        ...

    @property
    def bounds(self) -> Box:
        """Level-0 box of the scanned area."""
        ...

    @property
    def vendor(self) -> str:
        """Format of the scanner."""
        ...

    @property
    def properties(self) -> Mapping[str, str]:
        """The file's own metadata."""
        ...

    @property
    def associated_images(self) -> tuple[str, ...]:
        """Names of the label, macro and thumbnail images."""
        ...

    @property
    def is_plain_image(self) -> bool:
        """True for a picture that is held whole."""
        ...

    @property
    def part(self) -> Part:
        """Which image of its file it is."""
        ...

    @property
    def dimensions(self) -> Size:
        """Size of level 0 in px."""
        ...

    def read_region(self, location_l0: Point | Sequence[int], level: int, size: Size | Sequence[int]) -> RGB:
        """Read `size` px, (width, height), of `level` whose top left pixel lies at level-0 `location_l0`, (x, y).

        Returns uint8 RGB (row, col, 3). Alpha is composited on white; what lies outside the slide is white.

        Raises
        ------
        SlideError
            The region cannot be decoded.
        """
        ...

    def read_level(self, level: int, box: Box) -> RGB:
        """Read `box`, given in px of `level` itself: what resampling builds on. Outside is white."""
        ...

    def associated_image(self, name: str) -> RGB:
        """The label, macro or thumbnail image of that name, uint8 RGB."""
        ...

    def thumbnail(self, max_side: int = 512) -> RGB:
        """All of the slide in at most `max_side` px a side, uint8 RGB (row, col, 3): `views.Views.thumbnail`."""
        ...

    def read(self, region: Box | Sequence[int], mpp: Mpp | float | Sequence[float] | None = None) -> RGB:
        """A region, (x, y, width, height) in level-0 px, at any resolution: `views.Views.read`."""
        ...

    def dask(self, mpp: Mpp | float | Sequence[float] | None = None) -> dask.array.Array:
        """The whole slide as a lazy array (row, col, 3): `views.Views.dask`."""
        ...

    def hold_at_most(self, tile_bytes: int) -> None:
        """Keep no more than so many bytes of decoded pixels between reads."""
        ...

    def close(self) -> None:
        """Give back the file handle. Closing twice is fine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


def require_slide(given: object, name: str = "slide") -> Slide:
    """An open slide as it is; anything else, a path above all, is refused by the parameter's name.

    Raises
    ------
    UsageError
        It is no open slide.
    """
    if not is_slide(given):
        raise UsageError(
            f"⟨{name}⟩ is an open slide, not {shown(given)}", remedy="Open it with open_slide first"
        )
    return given


def is_slide(given: object) -> TypeGuard[Slide]:
    """True for what can be read as a slide can."""
    return hasattr(given, "read_level") and hasattr(given, "levels")
