"""Points, sizes and boxes: the only place where (x, y) meets (row, col).

Geometry is (x, y) with x to the right and y down; arrays are (row, col[, channel]). Pixel (x, y) covers the half-open
square [x, x + 1) × [y, y + 1), QuPath's pixel-corner convention. `Box.rc` is the one bridge between the two worlds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wsi_nucssl.errors import UsageError


@dataclass(frozen=True, slots=True)
class Point:
    """A position in pixels, (x, y)."""

    x: int
    y: int


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
        if not (0 < self.x < 1000 and 0 < self.y < 1000):
            raise UsageError(f"mpp must be positive and finite, not {self.x} × {self.y}")

    @classmethod
    def square(cls, value: float) -> Mpp:
        """The same resolution along both axes."""
        return cls(value, value)

    @property
    def mean(self) -> float:
        """Geometric mean: the side of a square pixel of the same area."""
        return float((self.x * self.y) ** 0.5)

    def __str__(self) -> str:
        return f"{self.x:.4g}" if self.x == self.y else f"{self.x:.4g} × {self.y:.4g}"
