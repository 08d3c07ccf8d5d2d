"""The algebra of boxes, against sets of pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Mpp, Point, Size

side = st.integers(-6, 12)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x0, x1 = sorted((draw(side), draw(side)))
    y0, y1 = sorted((draw(side), draw(side)))
    return Box(x0, y0, x1, y1)


def pixels(box: Box) -> set[tuple[int, int]]:
    return {(x, y) for x in range(box.x0, box.x1) for y in range(box.y0, box.y1)}


@given(boxes(), boxes())
def test_clip_is_intersection(one: Box, other: Box) -> None:
    both = pixels(one) & pixels(other)
    assert pixels(one.clip(other)) == both
    assert one.overlaps(other) == other.overlaps(one) == bool(both)
    assert one.contains(other) == (pixels(other) <= pixels(one))


@given(boxes(), side, side)
def test_points_belong_to_half_open_boxes(box: Box, x: int, y: int) -> None:
    assert (Point(x, y) in box) == ((x, y) in pixels(box))


@given(boxes(), side, side)
def test_shift_and_its_way_back(box: Box, dx: int, dy: int) -> None:
    moved = box.shift(dx, dy)
    assert pixels(moved) == {(x + dx, y + dy) for x, y in pixels(box)}
    assert moved.relative_to(Point(dx, dy)) == box
    assert Box.at(box.origin, box.size) == box
    assert box.relative_to(box.origin).origin == Point(0, 0)


@given(boxes(), st.integers(0, 5))
def test_grow_reaches_that_far_along_both_axes(box: Box, margin: int) -> None:
    reach = range(-margin, margin + 1)
    if not box.is_empty:
        around = {(x + dx, y + dy) for x, y in pixels(box) for dx in reach for dy in reach}
        assert pixels(box.grow(margin)) == around
    assert box.grow(margin).grow(-margin) == box


@given(boxes())
def test_size_counts_pixels(box: Box) -> None:
    assert box.size.area == len(pixels(box)) == box.width * box.height
    assert box.is_empty == (not pixels(box))


@given(boxes())
def test_rc_selects_the_pixels_of_the_box(box: Box) -> None:
    rows, cols = 20, 21
    xy = np.stack(np.meshgrid(np.arange(cols), np.arange(rows)), axis=-1)
    inside = box.clip(Box(0, 0, cols, rows))
    cut = xy[inside.rc]
    assert cut.shape[:2] == inside.size.shape_rc
    assert {(int(x), int(y)) for x, y in cut.reshape(-1, 2)} == pixels(inside)


def test_nonsense_is_refused() -> None:
    with pytest.raises(UsageError, match="inverted"):
        Box(1, 0, 0, 5)
    with pytest.raises(UsageError, match="negative"):
        Size(-1, 2)
    for value in (0.0, -0.25, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="mpp"):
            Mpp(0.25, value)
    with pytest.raises(TypeError, match="name its sides"):
        _, _, _, _ = Box(0, 0, 1, 1)


def test_resolution_of_a_pixel_of_the_same_area() -> None:
    assert Mpp(0.2, 0.45).mean == pytest.approx(0.3)
    assert Mpp.square(0.25) == Mpp(0.25, 0.25)
    assert (str(Mpp.square(0.25)), str(Mpp(0.2, 0.45)), str(Size(3, 4))) == ("0.25", "0.2 × 0.45", "3 × 4")


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 9), st.integers(1, 9))
def test_what_people_type_becomes_a_box(x: int, y: int, width: int, height: int) -> None:
    box = Box.parse((x, y, width, height))
    assert box == Box.at(Point(x, y), Size(width, height))
    assert box.xywh == (x, y, width, height)
    assert Box.parse([x, y, width, height]) == Box.parse(box) == box
    assert Box.parse(np.array(box.xywh)) == box  # type: ignore[arg-type]
    assert Point.parse((x, y)) == Point.parse(Point(x, y)) == Point(x, y)
    assert Point.parse(np.array([x, y])) == Point(x, y)  # type: ignore[arg-type]


NO_BOX: list[object] = [(1, 2, 3), (1, 2, 3, 4, 5), (1, 2, 3.0, 4), (1, 2, -3, 4), (0, 0, 0, 3)]
NO_BOX += [(0, 0, True, 3), "abcd"]
NO_BOX += [None, 7, {1, 2, 3, 4}, dict.fromkeys((1, 2, 3, 4), 1), (float("nan"), 0, 1, 1), Box(3, 3, 3, 9)]


@pytest.mark.parametrize("value", NO_BOX)
def test_what_is_no_box_is_refused_by_name(value: object) -> None:
    with pytest.raises(UsageError, match="`window`"):
        Box.parse(value, "window")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [(1,), (1, 2.5), "xy", None, 3])
def test_what_is_no_point_is_refused_by_name(value: object) -> None:
    with pytest.raises(UsageError, match="`seed`"):
        Point.parse(value, "seed")  # type: ignore[arg-type]


def test_a_resolution_is_a_number_or_two() -> None:
    assert Mpp.parse(0.5) == Mpp.parse(np.float64(0.5)) == Mpp.parse(Mpp(0.5, 0.5)) == Mpp(0.5, 0.5)
    assert Mpp.parse((0.5, 0.25)) == Mpp.parse(np.array([0.5, 0.25])) == Mpp(0.5, 0.25)  # type: ignore[arg-type]
    assert Mpp.parse_side(0.5) == Mpp.parse_side((0.5, 0.5)) == Mpp.parse_side(Mpp(0.5, 0.5)) == 0.5
    with pytest.raises(UsageError, match="`slide_mpp` is one number here"):
        Mpp.parse_side((0.5, 0.25), "slide_mpp")


def test_a_size_is_two_whole_numbers_and_does_not_unpack() -> None:
    assert Size.parse((3, 2)) == Size.parse(np.array([3, 2])) == Size.parse(Size(3, 2)) == Size(3, 2)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"`size` is \(width, height\) in whole px"):
        Size.parse((3, 2, 1))
    with pytest.raises(TypeError, match="width, height"):
        _, _ = Size(3, 2)


def test_numbers_that_want_rounding_are_told_so() -> None:
    with pytest.raises(UsageError, match="Round its numbers"):
        Box.parse((1.0, 2, 3, 4))  # type: ignore[arg-type]
    for value in ((1.0, 2, 3), "1.0, 2, 3, 4", None):
        with pytest.raises(UsageError, match=r"whole px, not [^.]*(\d\.\d[^.]*)?$"):
            Box.parse(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 0, -1, "0.5", None, True, (0.5,), (0.5, 0), 1000]
)
def test_what_is_no_resolution_is_refused_by_name(value: object) -> None:
    with pytest.raises(UsageError, match="`slide_mpp`"):
        Mpp.parse(value, "slide_mpp")  # type: ignore[arg-type]


@given(boxes(), st.sampled_from([0.25, 0.499, 1.0, 2.0, 3.7]), st.sampled_from([0.3, 1.0, 2.5]))
def test_a_box_in_larger_or_smaller_px_is_the_least_that_covers_it(box: Box, x: float, y: float) -> None:
    covering = box.in_px_of(x, y)
    noise = 1e-5
    assert covering.x0 * x <= box.x0 + noise < (covering.x0 + 1) * x + 2 * noise
    assert covering.y0 * y <= box.y0 + noise < (covering.y0 + 1) * y + 2 * noise
    assert (covering.x1 - 1) * x < box.x1 + noise <= covering.x1 * x + 2 * noise
    assert (covering.y1 - 1) * y < box.y1 + noise <= covering.y1 * y + 2 * noise
