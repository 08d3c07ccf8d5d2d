"""Slides made of real tissue whose nuclei are known, put where tissue is hard to find.

Each picture is a sheet of glass (or black, or grey) of 0.25 µm per px with two images of a dataset on it,
changed as a stain, a scanner or a user would, and with what lies on slides beside tissue.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from tests.pictures import read_labels, read_rgb
from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.mpp import GivenMpp
from wsi_nucssl.slide import RGB
from wsi_nucssl.slide.reader import Reader, SlideMetadata

Bools = NDArray[np.bool_]
Change = Callable[[RGB], RGB]
Draw = Callable[[RGB, Bools], None]
"""Draws on a sheet in place; it may clear what it covers in the map of tissue."""

_SHEET = (2600, 3400)
_GLASS = (243, 243, 241)
_AT = ((300, 300), (1200, 1900))
_TO_OD = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Optical densities of hematoxylin, eosin and DAB: A. Ruifrok and D. Johnston, "Quantification of histochemical
staining by color deconvolution", 2001, https://pubmed.ncbi.nlm.nih.gov/11531144/."""


class ArraySlide(Reader):
    """An array as a slide of one level."""

    name = "array"

    def __init__(self, pixels: RGB, mpp: float = 0.25) -> None:
        size = Size(pixels.shape[1], pixels.shape[0])
        super().__init__(Path("array"), SlideMetadata((size,), "test", {}, ()), GivenMpp(mpp))
        self.pixels = pixels

    def _decode(self, level: int, box: Box) -> RGB:  # noqa: ARG002
        return np.ascontiguousarray(self.pixels[box.rc])

    def _decode_associated(self, name: str) -> RGB:
        raise KeyError(name)

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Picture:
    """A slide and what is true of it.

    Attributes
    ----------
    name : str
        What was done.
    slide : ArraySlide
        The pixels.
    tissue, nuclei : ndarray of bool
        Where tissue lies, and nuclei that can be seen, (row, col) of level 0.
    """

    name: str
    slide: ArraySlide
    tissue: Bools
    nuclei: Bools


def _nothing(sheet: RGB, tissue: Bools) -> None:
    """Leave the sheet as it is."""


@dataclass(frozen=True, slots=True)
class Recipe:
    name: str
    change: Change = lambda rgb: rgb
    draw: Draw = _nothing
    ground: tuple[int, int, int] = _GLASS
    whole: Change = lambda sheet: sheet
    mpp: float = 0.25


def _noise(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _grey(rgb: RGB) -> RGB:
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _faint(strength: float) -> Change:
    """Less dye: every optical density times `strength`."""
    return lambda rgb: (
        np.rint(_GLASS[0] * ((rgb.astype(np.float32) + 1) / 256) ** strength).clip(0, 255).astype(np.uint8)
    )


def _restained(stroma: float, brown: float) -> Change:
    """Hematoxylin stays, eosin fades to `stroma` of it, and `brown` of DAB comes where eosin was strong."""
    to_dyes = np.linalg.inv(_TO_OD).astype(np.float32)

    def change(rgb: RGB) -> RGB:
        dyes = np.maximum(-np.log10((rgb.astype(np.float32) + 1) / 256) @ to_dyes, 0)
        eosin = dyes[..., 1].copy()
        dyes[..., 1], dyes[..., 2] = stroma * eosin, brown * np.maximum(eosin - np.median(eosin), 0)
        return np.asarray(
            np.rint(_GLASS[0] * 10 ** -(dyes @ _TO_OD.astype(np.float32))).clip(0, 255).astype(np.uint8),
            np.uint8,
        )

    return change


def _jpeg(quality: int) -> Change:
    return lambda sheet: np.asarray(
        imagecodecs.jpeg_decode(imagecodecs.jpeg_encode(sheet, level=quality)), np.uint8
    )


def _strokes(colour: tuple[int, int, int]) -> Draw:
    """Felt pen beside the tissue."""

    def draw(sheet: RGB, tissue: Bools) -> None:  # noqa: ARG001
        line = np.array([[1500, 250], [1900, 500], [2600, 260], [3200, 700]], np.int32)
        cv2.polylines(sheet, [line], False, colour, 130, cv2.LINE_AA)
        cv2.circle(sheet, (600, 2000), 330, colour, 90, cv2.LINE_AA)

    return draw


def _across(colour: tuple[int, int, int]) -> Draw:
    """A stroke of felt pen over tissue: what it covers, or comes within 4 µm of, is not asked for."""

    def draw(sheet: RGB, tissue: Bools) -> None:
        for target, value in ((sheet, colour), (ink := np.zeros(tissue.shape, np.uint8), 1)):
            cv2.line(
                target, (200, 900), (3200, 1900), value, 110, cv2.LINE_AA if target is sheet else cv2.LINE_8
            )
        tissue[cv2.dilate(ink, np.ones((33, 33), np.uint8)) > 0] = False

    return draw


def _coverslip(sheet: RGB, tissue: Bools) -> None:  # noqa: ARG001
    """Two edges of a coverslip: thin, dark, and a shade of colour beside them."""
    cv2.line(sheet, (0, 200), (3400, 120), (150, 152, 158), 14, cv2.LINE_AA)
    cv2.line(sheet, (0, 214), (3400, 134), (225, 234, 240), 10, cv2.LINE_AA)
    cv2.line(sheet, (1650, 0), (1600, 2600), (120, 118, 116), 10, cv2.LINE_AA)


def _bubbles(sheet: RGB, tissue: Bools) -> None:  # noqa: ARG001
    """Air under the coverslip: dark rings, glass within."""
    for x, y, radius in ((2300, 500, 260), (800, 1900, 380), (2900, 800, 140)):
        ring = np.zeros(sheet.shape[:2], np.float32)
        cv2.circle(ring, (x, y), radius, 1.0, 26, cv2.LINE_AA)
        soft = np.asarray(cv2.GaussianBlur(ring, (0, 0), 6))[..., None]
        sheet[:] = (sheet * (1 - soft) + np.array([96, 98, 96]) * soft).astype(np.uint8)


def _coverslip_and_bubbles(sheet: RGB, tissue: Bools) -> None:
    _coverslip(sheet, tissue)
    _bubbles(sheet, tissue)


def _frame(value: tuple[int, int, int], wedge: bool = False) -> Draw:
    """Fill around the tissue, sharp and touching it; with `wedge`, slanted bands too."""

    def draw(sheet: RGB, tissue: Bools) -> None:
        outside = ~cv2.dilate(tissue.view(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_)
        if wedge:
            cut = np.zeros(tissue.shape, np.uint8)
            cv2.fillPoly(cut, [np.array([[0, 0], [3400, 0], [3400, 180], [0, 520]], np.int32)], 1)
            cv2.fillPoly(cut, [np.array([[3400, 2600], [2600, 2600], [3000, 0], [3400, 0]], np.int32)], 1)
            outside = cut > 0
        sheet[outside] = value
        tissue[outside] = False

    return draw


def _shade(sheet: RGB) -> RGB:
    """Light that falls off towards the corners, by 6 %."""
    y, x = np.mgrid[-1 : 1 : sheet.shape[0] * 1j, -1 : 1 : sheet.shape[1] * 1j]
    return np.asarray(np.rint(sheet * (1 - 0.03 * (x**2 + y**2))[..., None]).astype(np.uint8), np.uint8)


def _dust(sheet: RGB, tissue: Bools) -> None:
    """Specks and a fibre on the glass."""
    at = _noise("dust").integers(0, (sheet.shape[1], sheet.shape[0]), (60, 2))
    for x, y in at[~tissue[at[:, 1], at[:, 0]]]:
        cv2.circle(sheet, (int(x), int(y)), int(3 + (x * 7 + y) % 9), (90, 85, 80), -1, cv2.LINE_AA)
    fibre = np.array([[1500, 300], [1900, 420], [2300, 330], [2700, 560]], np.int32)
    cv2.polylines(sheet, [fibre], False, (140, 150, 170), 9, cv2.LINE_AA)


_BLUE, _GREEN, _RED, _BLACK = (30, 50, 160), (20, 110, 60), (170, 30, 40), (20, 20, 25)

RECIPES = (
    Recipe("plain"),
    Recipe("JPEG of quality 70", whole=_jpeg(70)),
    Recipe("tinted glass", ground=(235, 238, 222)),
    Recipe("dim glass", ground=(214, 214, 214)),
    Recipe("uneven light", whole=_shade),
    Recipe("grey", _grey, whole=_grey),
    Recipe("grey, JPEG of quality 70", _grey, whole=lambda sheet: _jpeg(70)(_grey(sheet))),
    Recipe("grey and faint", lambda rgb: _grey(_faint(0.4)(rgb)), whole=_grey),
    Recipe("faint, half the dye", _faint(0.5)),
    Recipe("faint, a quarter of the dye", _faint(0.25)),
    Recipe("faint, an eighth of the dye", _faint(0.125)),
    Recipe("hematoxylin and DAB", _restained(0.1, 1.0)),
    Recipe("hematoxylin alone, stroma pale", _restained(0.08, 0.0)),
    Recipe("black around", draw=_frame((0, 0, 0))),
    Recipe("black around, JPEG of quality 60", draw=_frame((0, 0, 0)), whole=_jpeg(60)),
    Recipe("black wedges", draw=_frame((0, 0, 0), wedge=True)),
    Recipe("grey fill around", draw=_frame((128, 128, 128))),
    Recipe(
        "white fill around tinted glass", ground=(235, 238, 222), draw=_frame((255, 255, 255), wedge=True)
    ),
    Recipe("blue pen", draw=_strokes(_BLUE)),
    Recipe("green pen", draw=_strokes(_GREEN)),
    Recipe("red pen", draw=_strokes(_RED)),
    Recipe("black pen", draw=_strokes(_BLACK)),
    Recipe("blue pen across tissue", draw=_across(_BLUE)),
    Recipe("coverslip edges", draw=_coverslip),
    Recipe("bubbles", draw=_bubbles),
    Recipe("dust", draw=_dust),
    Recipe(
        "grey, coverslip edges and bubbles",
        _grey,
        _coverslip_and_bubbles,
        whole=_grey,
    ),
    Recipe("0.5 µm per px", mpp=0.5),
    Recipe("1 µm per px", mpp=1.0),
)


def pictures(images: list[Path], recipes: Sequence[Recipe] = RECIPES) -> Iterator[Picture]:
    """A picture of each recipe, on two of the images in turn; the labels are PNGs of their stems in `../labels`."""
    for number, recipe in enumerate(recipes):
        yield _picture(recipe, [images[(2 * number + which) % len(images)] for which in range(2)])


def _picture(recipe: Recipe, images: list[Path]) -> Picture:
    sheet = np.full((*_SHEET, 3), recipe.ground, np.uint8)
    sheet += _noise(recipe.name).integers(0, 3, _SHEET).astype(np.uint8)[..., None]
    tissue, nuclei = np.zeros(_SHEET, np.bool_), np.zeros(_SHEET, np.bool_)
    for (y, x), path in zip(_AT, images, strict=True):
        rgb = recipe.change(read_rgb(path))
        at = np.s_[y : y + rgb.shape[0], x : x + rgb.shape[1]]
        sheet[at], tissue[at] = rgb, True
        nuclei[at] = read_labels(path.parent.parent / "labels" / f"{path.stem}.png") > 0
    recipe.draw(sheet, tissue)
    sheet = recipe.whole(sheet)
    step = round(recipe.mpp / 0.25)
    small = (
        cv2.resize(sheet, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA) if step > 1 else sheet
    )
    return Picture(
        recipe.name,
        ArraySlide(np.ascontiguousarray(small, np.uint8), recipe.mpp),
        tissue[::step, ::step],
        (nuclei & tissue)[::step, ::step],
    )


def fat() -> Picture:
    """Empty cells with thin walls, and a nucleus at some corners; no image is needed."""
    rng, side = np.random.default_rng(0), 2400
    sheet = np.clip(rng.normal([243, 242, 244], 1.2, (side, side, 3)), 0, 255).astype(np.uint8)
    part = cv2.Subdiv2D((400, 400, side - 800, side - 800))
    for y in range(460, side - 400, 260):
        for x in range(460, side - 400, 260):
            shift = rng.integers(-20, 20, 2)
            part.insert(
                (
                    float(min(side - 410, x + y // 260 % 2 * 130 + shift[0])),
                    float(min(side - 410, y + shift[1])),
                )
            )
    nuclei = np.zeros((side, side), np.uint8)
    for facet in part.getVoronoiFacetList([])[0]:
        corners = np.asarray(facet).clip(400, side - 400)
        cv2.polylines(sheet, [corners.astype(np.int32)], True, (225, 190, 215), 6, cv2.LINE_AA)
        for target, value in ((sheet, (90, 60, 140)), (nuclei, 1)):
            centre = (int(corners[0][0]), int(corners[0][1]))
            cv2.ellipse(target, centre, (18, 9), 30, 0, 360, value, -1)
    tissue = np.zeros((side, side), np.bool_)
    tissue[380:-380, 380:-380] = True
    return Picture("fat", ArraySlide(sheet), tissue, nuclei > 0)
