"""Points, sizes and boxes: the only place where (x, y) meets (row, col).

Geometry is (x, y) with x to the right and y down; arrays are (row, col[, channel]). Pixel (x, y) covers the half-open
square [x, x + 1) × [y, y + 1), QuPath's pixel-corner convention. `Box.rc` is the one bridge between the two worlds.

People type tuples and floats; `Point.parse`, `Box.parse` and `Mpp.parse` turn them into these values at the door.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from wsi_nucssl.checks import as_number, as_whole, shown
from wsi_nucssl.errors import UsageError

_ROUNDING = 1e-6
"""Px: an excess of this little over a whole px is rounding noise, as for `Canvas`."""


@dataclass(frozen=True, slots=True)
class Point:
    """A position in pixels, (x, y)."""

    x: int
    y: int

    @classmethod
    def parse(cls, value: Point | Sequence[int], name: str = "point") -> Point:
        """A point as people type it, (x, y) in whole px.

        Parameters
        ----------
        value : Point or sequence of int
            The point, or its two numbers.
        name : str
            The parameter that it was given for, to be named if something is wrong.

        Raises
        ------
        UsageError
            It is not two whole numbers.
        """
        if isinstance(value, Point):
            return value
        numbers = _whole_numbers(value, 2)
        if numbers is None:
            raise _not_whole(name, "(x, y)", value)
        return cls(*numbers)


@dataclass(frozen=True, slots=True)
class Size:
    """A width and a height in pixels; neither is negative."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 0 or self.height < 0:
            raise UsageError(f"a size cannot be negative: {self.width} × {self.height}")

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    @property
    def shape_rc(self) -> tuple[int, int]:
        """Array shape (rows, cols)."""
        return self.height, self.width

    @classmethod
    def parse(cls, value: Size | Sequence[int], name: str = "size") -> Size:
        """A size as people type it, (width, height) in whole px.

        Parameters
        ----------
        value : Size or sequence of int
            The size, or its two numbers.
        name : str
            The parameter that it was given for, to be named if something is wrong.

        Raises
        ------
        UsageError
            It is not two whole numbers, or one is negative.
        """
        if isinstance(value, Size):
            return value
        numbers = _whole_numbers(value, 2)
        if numbers is None:
            raise _not_whole(name, "(width, height)", value)
        return cls(*numbers)

    def __iter__(self) -> Iterator[int]:
        raise TypeError("a Size does not unpack: name its sides (width, height)")

    def __str__(self) -> str:
        return f"{self.width} × {self.height}"


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open rectangle of pixels, [x0, x1) × [y0, y1). May be empty, never inverted."""

    x0: int
    y0: int
    x1: int
    y1: int

    def __post_init__(self) -> None:
        if self.x1 < self.x0 or self.y1 < self.y0:
            raise UsageError(f"a box cannot be inverted: ({self.x0}, {self.y0}) to ({self.x1}, {self.y1})")

    @classmethod
    def at(cls, origin: Point, size: Size) -> Box:
        """The box of the given size whose top left pixel is `origin`."""
        return cls(origin.x, origin.y, origin.x + size.width, origin.y + size.height)

    @classmethod
    def parse(cls, value: Box | Sequence[int], name: str = "region") -> Box:
        """A box as people type it, (x, y, width, height) in whole px: not its far corner.

        Parameters
        ----------
        value : Box or sequence of int
            The box, or its four numbers. It must hold a pixel.
        name : str
            The parameter that it was given for, to be named if something is wrong.

        Raises
        ------
        UsageError
            It is not four whole numbers, or its width or height is not positive.

        Examples
        --------
        >>> Box.parse((10, 20, 300, 200))
        Box(x0=10, y0=20, x1=310, y1=220)
        """
        if isinstance(value, Box):
            box = value
        else:
            numbers = _whole_numbers(value, 4)
            if numbers is None:
                raise _not_whole(name, "(x, y, width, height)", value)
            x, y, width, height = numbers
            if width <= 0 or height <= 0:
                raise UsageError(
                    f"⟨{name}⟩ {value!r} has no pixel: it is (x, y, width, height), and here width × height "
                    f"is {width} × {height}"
                )
            box = cls(x, y, x + width, y + height)
        if box.is_empty:
            raise UsageError(f"⟨{name}⟩ {box} has no pixel")
        return box

    @property
    def xywh(self) -> tuple[int, int, int, int]:
        """(x, y, width, height), as `parse` reads it."""
        return self.x0, self.y0, self.width, self.height

    @property
    def width(self) -> int:
        """Columns."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Rows."""
        return self.y1 - self.y0

    @property
    def origin(self) -> Point:
        """Top left pixel."""
        return Point(self.x0, self.y0)

    @property
    def size(self) -> Size:
        """Width and height."""
        return Size(self.width, self.height)

    @property
    def is_empty(self) -> bool:
        """True if the box holds no pixel."""
        return self.x0 == self.x1 or self.y0 == self.y1

    @property
    def rc(self) -> tuple[slice, slice]:
        """(rows, cols) slices: `image[box.rc]` is the box's part of an array of (row, col)."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def shift(self, dx: int, dy: int) -> Box:
        """The box moved by (dx, dy)."""
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def relative_to(self, origin: Point) -> Box:
        """The same pixels, counted from `origin`."""
        return self.shift(-origin.x, -origin.y)

    def grow(self, margin: int) -> Box:
        """The box with `margin` more pixels on each side."""
        return Box(self.x0 - margin, self.y0 - margin, self.x1 + margin, self.y1 + margin)

    def in_px_of(self, scale_x: float, scale_y: float) -> Box:
        """The least box of px of `scale_x` × `scale_y` px of this box's that covers it."""
        return Box(
            math.floor(self.x0 / scale_x + _ROUNDING),
            math.floor(self.y0 / scale_y + _ROUNDING),
            math.ceil(self.x1 / scale_x - _ROUNDING),
            math.ceil(self.y1 / scale_y - _ROUNDING),
        )

    def clip(self, other: Box) -> Box:
        """The part inside `other`; an empty box where they do not meet."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        return Box(x0, y0, max(x0, min(self.x1, other.x1)), max(y0, min(self.y1, other.y1)))

    def overlaps(self, other: Box) -> bool:
        """True if the two share a pixel."""
        return not self.clip(other).is_empty

    def contains(self, other: Box) -> bool:
        """True if every pixel of `other` lies inside."""
        return other.is_empty or self.clip(other) == other

    def __contains__(self, point: Point) -> bool:
        return self.x0 <= point.x < self.x1 and self.y0 <= point.y < self.y1

    def __iter__(self) -> Iterator[int]:
        raise TypeError("a Box does not unpack: name its sides (x0, y0, x1, y1)")

    def __str__(self) -> str:
        return f"[{self.x0}, {self.x1}) × [{self.y0}, {self.y1})"


@dataclass(frozen=True, slots=True)
class Mpp:
    """Resolution in µm per pixel, along x and y."""

    x: float
    y: float

    def __post_init__(self) -> None:
        if _side_um(self.x) is None or _side_um(self.y) is None:
            raise UsageError(f"⟨mpp⟩ must be positive and finite, not {shown(self.x)} × {shown(self.y)}")

    @classmethod
    def square(cls, value: float) -> Mpp:
        """The same resolution along both axes."""
        return cls(value, value)

    @classmethod
    def parse(cls, value: Mpp | float | Sequence[float], name: str = "mpp") -> Mpp:
        """A resolution as people type it: µm per px along both axes, or (x, y).

        Parameters
        ----------
        value : Mpp, float or pair of float
            The resolution.
        name : str
            The parameter that it was given for, to be named if something is wrong.

        Raises
        ------
        UsageError
            It is no positive, finite number, nor two of them.
        """
        if isinstance(value, Mpp):
            return value
        numbers = (value, value) if as_number(value) is not None else value
        if _is_row(numbers) and len(numbers) == 2:
            x, y = (_side_um(numbers[index]) for index in (0, 1))
            if x is not None and y is not None:
                return cls(x, y)
        raise UsageError(f"⟨{name}⟩ is µm per px, a positive number such as 0.25, not {value!r}")

    @classmethod
    def parse_side(cls, value: Mpp | float | Sequence[float], name: str = "mpp") -> float:
        """The side in µm of a square px, where px must be square: as `parse`, but the same along both axes.

        Raises
        ------
        UsageError
            It is no resolution, or x and y differ.
        """
        mpp = cls.parse(value, name)
        if mpp.x != mpp.y:
            raise UsageError(
                f"⟨{name}⟩ is one number here, the same along x and y, not {mpp}", remedy="Give their mean"
            )
        return mpp.x

    @property
    def mean(self) -> float:
        """Geometric mean: the side of a square pixel of the same area."""
        return float((self.x * self.y) ** 0.5)

    def __str__(self) -> str:
        return f"{self.x:.4g}" if self.x == self.y else f"{self.x:.4g} × {self.y:.4g}"


def _side_um(value: object) -> float | None:
    """The side of a px in µm, None for what can be none."""
    number = as_number(value)
    return number if number is not None and 0 < number < 1000 else None


def _whole_numbers(value: object, count: int) -> list[int] | None:
    """As many whole numbers from a sequence or an array; None if it holds anything else."""
    if not _is_row(value) or len(value) != count:
        return None
    numbers = [as_whole(value[index]) for index in range(count)]
    return None if None in numbers else [number for number in numbers if number is not None]


def _is_row(value: Any) -> TypeGuard[Sequence[Any]]:
    """True for a sequence that is no text, and for an array of one dimension."""
    return getattr(value, "ndim", None) == 1 or (
        isinstance(value, Sequence) and not isinstance(value, str | bytes)
    )


def _not_whole(name: str, form: str, value: object) -> UsageError:
    """What to say of a value that is not so many whole numbers."""
    numbers: Sequence[Any] = value if _is_row(value) else ()
    is_rounding = len(numbers) == form.count(",") + 1 and all(as_number(each) is not None for each in numbers)
    remedy = "Round its numbers: [round(each) for each in …]" if is_rounding else None
    return UsageError(f"⟨{name}⟩ is {form} in whole px, not {shown(value)}", remedy=remedy)
