"""What stands around a picture: a title above, a scale bar, colours and their names and a colour bar below.

All of it goes beside the picture, of which nothing is covered or resampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.scale_bar import ScaleBar

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

RGB = NDArray[np.uint8]
Colour = tuple[int, int, int]

_INK: Final = (25, 28, 32)
_PAPER: Final = (255, 255, 255)
_LEAST_PX: Final = 12
_LARGEST_PX: Final = 40
_PER_WIDTH: Final = 1 / 70
"""Of the letters' height, and how it grows with the picture."""
_LEAST_WIDTH: Final = 300
_BAR_WIDTH: Final = 14
"""Of a colour bar, in heights of the letters."""


class Item(Protocol):
    """Something in a caption."""

    def size(self, letters: Letters) -> int:
        """Its width in px."""
        ...

    def draw(self, canvas: ImageDraw, letters: Letters, x: int, y: int) -> None:
        """Draw it with its left edge at `x`, in the line that begins at `y`."""
        ...


@dataclass(frozen=True, slots=True)
class Letters:
    """Letters of a height in px; a line is as high as `line`."""

    px: int

    @property
    def line(self) -> int:
        """Height of a line."""
        return round(self.px * 2.5)

    @property
    def font(self) -> FreeTypeFont:
        """DejaVu Sans, which comes with matplotlib."""
        font: FreeTypeFont = _font(self.px)
        return font

    def width(self, text: str) -> int:
        """Of a text in px."""
        return round(self.font.getlength(text))


@dataclass(frozen=True, slots=True)
class Text:
    """Plain words."""

    text: str

    def size(self, letters: Letters) -> int:
        """See `Item`."""
        return letters.width(self.text)

    def draw(self, canvas: ImageDraw, letters: Letters, x: int, y: int) -> None:
        """See `Item`."""
        canvas.text((x, y + letters.line // 2), self.text, _INK, letters.font, anchor="lm")


@dataclass(frozen=True, slots=True)
class Swatch:
    """A colour and its name."""

    colour: Colour
    text: str

    def size(self, letters: Letters) -> int:
        """See `Item`."""
        return round(1.6 * letters.px) + letters.width(self.text)

    def draw(self, canvas: ImageDraw, letters: Letters, x: int, y: int) -> None:
        """See `Item`."""
        middle, half = y + letters.line // 2, letters.px // 2
        canvas.rectangle((x, middle - half, x + letters.px, middle + half), self.colour, _INK)
        Text(self.text).draw(canvas, letters, x + round(1.6 * letters.px), y)


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale bar."""

    bar: ScaleBar

    def size(self, letters: Letters) -> int:
        """See `Item`."""
        return round(max(self.bar.px, letters.width(self.bar.text)))

    def draw(self, canvas: ImageDraw, letters: Letters, x: int, y: int) -> None:
        """See `Item`."""
        canvas.text((x, y + letters.px // 2), self.bar.text, _INK, letters.font, anchor="lt")
        bottom, thick = y + letters.line - letters.px // 3, max(2, letters.px // 5)
        canvas.rectangle((x, bottom - thick, x + round(self.bar.px) - 1, bottom - 1), _INK)


@dataclass(frozen=True, slots=True)
class ColourBar:
    """Colours from a low value to a high one, and what they stand for.

    Attributes
    ----------
    colours : ndarray
        uint8 (n, 3), from low to high.
    low, high : str
        What stands at the ends.
    label : str
        What is shown, with its unit.
    """

    colours: RGB
    low: str
    high: str
    label: str

    def size(self, letters: Letters) -> int:
        """See `Item`."""
        sides = letters.width(self.low) + letters.width(self.high) + letters.width(self.label)
        return (_BAR_WIDTH + 3) * letters.px + sides

    def draw(self, canvas: ImageDraw, letters: Letters, x: int, y: int) -> None:
        """See `Item`."""
        Text(self.label).draw(canvas, letters, x, y)
        x += letters.width(self.label) + letters.px
        Text(self.low).draw(canvas, letters, x, y)
        x += letters.width(self.low) + letters.px // 2
        width, middle, half = _BAR_WIDTH * letters.px, y + letters.line // 2, letters.px // 2
        for column in range(width):
            colour = self.colours[column * len(self.colours) // width].tolist()
            canvas.line((x + column, middle - half, x + column, middle + half), tuple(colour))
        canvas.rectangle((x, middle - half, x + width, middle + half), outline=_INK)
        Text(self.high).draw(canvas, letters, x + width + letters.px // 2, y)


def captioned(picture: RGB, items: Sequence[Item], title: str = "") -> RGB:
    """The picture, uint8 RGB (row, col, 3), with a title above it and items under it, in as many lines as they need."""
    from PIL import Image, ImageDraw

    width = max(picture.shape[1], _LEAST_WIDTH)
    letters = Letters(int(min(max(width * _PER_WIDTH, _LEAST_PX), _LARGEST_PX)))
    lines = _lines(items, letters, width - 2 * letters.px)
    top = letters.line if title else 0
    height = top + picture.shape[0] + letters.line * len(lines)
    page = Image.new("RGB", (width, height), _PAPER)
    page.paste(Image.fromarray(np.ascontiguousarray(picture)), (0, top))
    canvas = ImageDraw.Draw(page)
    if title:
        Text(_shortened(title, letters, width - 2 * letters.px)).draw(canvas, letters, letters.px, 0)
    for number, line in enumerate(lines):
        x = letters.px
        for item in line:
            item.draw(canvas, letters, x, top + picture.shape[0] + number * letters.line)
            x += item.size(letters) + 2 * letters.px
    return np.array(page)


def colours_of(name: str, count: int = 256) -> RGB:
    """A colour map of OpenCV ("viridis", "magma", …) from low to high, uint8 (count, 3)."""
    import cv2

    steps = np.rint(np.linspace(0, 255, count)).astype(np.uint8)
    bgr = cv2.applyColorMap(steps[:, None], getattr(cv2, f"COLORMAP_{name.upper()}"))
    table: RGB = np.asarray(bgr[:, 0, ::-1], np.uint8)
    return table


def _lines(items: Sequence[Item], letters: Letters, width: int) -> list[list[Item]]:
    lines: list[list[Item]] = []
    left = 0
    for item in items:
        size = item.size(letters) + 2 * letters.px
        if not lines or size > left:
            lines.append([])
            left = width + 2 * letters.px
        lines[-1].append(item)
        left -= size
    return lines


def _shortened(text: str, letters: Letters, width: int) -> str:
    while letters.width(text) > width and len(text) > 4:
        text = f"{text[:-4]}…" if not text.endswith("…") else f"{text[:-3]}…"
    return text


@cache
def _font(px: int) -> Any:
    from PIL import ImageFont

    found = find_spec("matplotlib")  # which takes long to import
    assert found is not None
    assert found.origin is not None
    return ImageFont.truetype(Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", px)
