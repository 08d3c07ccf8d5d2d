"""Black and grey outside the scan: found, no tissue, and glass to whoever reads the painted canvas."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.tissue_pictures import ArraySlide
from wsi_nucssl.geometry import Box
from wsi_nucssl.slide import RGB, Canvas, tissue_mask

TISSUE = Box(403, 507, 1301, 1406)


def filled(value: int, tissue: tuple[int, int, int] = (190, 120, 170)) -> RGB:
    """Noisy tissue with one value all round it."""
    image = np.full((2000, 2100, 3), value, np.uint8)
    noise = np.random.default_rng(1).integers(-25, 26, (*TISSUE.size.shape_rc, 1))
    image[TISSUE.rc] = np.clip(np.array(tissue) + noise, 0, 255)
    return image


@pytest.mark.parametrize("value", [0, 12, 128, 180])
def test_fill_is_no_tissue_and_is_painted_up_to_the_tissue(value: int) -> None:
    image = filled(value)
    slide = ArraySlide(image)
    mask = tissue_mask(slide)
    assert mask.coverage(TISSUE) > 0.99
    assert mask.coverage(Box(0, 0, 2100, 480)) == 0
    painted = mask.painted(Canvas(slide, 0.25))(Box(0, 0, 2100, 2000))
    inside = np.zeros(image.shape[:2], np.bool_)
    inside[TISSUE.rc] = True
    assert np.array_equal(painted[inside], image[inside])
    assert painted[~inside].min() > value + 10
    assert (painted[~inside] == painted[0, 0]).all()


def test_the_palest_tissue_is_not_taken_for_the_colour_of_glass() -> None:
    image = filled(0, (238, 205, 226))
    for glass, painted in (((238, 205, 226), (255, 255, 255)), ((244, 241, 246), (244, 241, 246))):
        image[600:800, 500:700] = glass
        slide = ArraySlide(image)
        assert tuple(tissue_mask(slide).painted(Canvas(slide, 0.25))(Box(0, 0, 9, 9))[0, 0]) == painted


@pytest.mark.parametrize("scale", [0.7, 1.0, 2.0, 3.7])
@pytest.mark.parametrize("value", [0, 128])
def test_the_canvas_is_what_it_would_be_with_glass_in_place_of_fill(scale: float, value: int) -> None:
    filled_one, glass = filled(value), filled(255)
    canvases = [Canvas.at_scale(ArraySlide(image), scale) for image in (filled_one, glass)]
    read = tissue_mask(canvases[0].slide).painted(canvases[0])
    for box in (canvases[0].box, Box(90, 130, 350, 290)):
        assert np.array_equal(read(box), canvases[1].read(box))


def test_a_painted_pixel_does_not_depend_on_the_box_that_reads_it() -> None:
    slide = ArraySlide(filled(0))
    canvas = Canvas(slide, 0.4)
    read = tissue_mask(slide).painted(canvas)
    whole = read(canvas.box)
    for box in (Box(200, 250, 700, 600), Box(251, 317, 260, 330), Box(0, 0, 40, 40)):
        assert np.array_equal(read(box), whole[box.rc])


def test_without_fill_the_canvas_itself_is_read() -> None:
    image = filled(0)
    image[image.max(axis=2) == 0] = 243
    canvas = Canvas(slide := ArraySlide(image), 0.25)
    assert tissue_mask(slide).painted(canvas) == canvas.read


def test_all_black_is_no_tissue() -> None:
    assert tissue_mask(ArraySlide(np.zeros((800, 900, 3), np.uint8))).fraction == 0
