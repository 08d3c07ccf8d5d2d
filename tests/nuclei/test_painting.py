"""Polygons painted into label images: traced ones give back their masks, others fill what contains a px's centre."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.nuclei.test_polygons import noise_labels
from wsi_nucssl.nuclei.painting import paint_polygons
from wsi_nucssl.nuclei.polygons import trace_polygons


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 25), st.integers(1, 25), st.floats(0.2, 0.95))
def test_traced_polygons_give_back_their_masks(seed: int, height: int, width: int, share: float) -> None:
    labels = noise_labels(seed, height, width, share)
    count = int(labels.max())
    traced = trace_polygons(labels, count)
    painted = np.zeros_like(labels)
    numbers = np.arange(1, count + 1)
    paint_polygons(
        painted, traced.ring_xy.astype(float), traced.ring_offsets, traced.polygon_offsets, numbers
    )
    assert np.array_equal(painted, labels)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30), st.integers(1, 4))
def test_a_px_is_painted_if_a_polygon_contains_its_centre_and_the_later_one_wins(
    seed: int, height: int, width: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    shapes = [_star(rng, height, width) for _ in range(count)]
    kind, xy, offsets = shapely.to_ragged_array(shapes)
    assert kind == shapely.GeometryType.POLYGON
    labels = np.full((height, width), 7, np.int32)
    rings, polygons = (each.astype(np.int64) for each in offsets)
    paint_polygons(labels, xy, rings, polygons, np.arange(11, 11 + count))
    assert np.array_equal(labels, _contained(shapes, height, width))


def _star(rng: np.random.Generator, height: int, width: int) -> shapely.Polygon:
    """A star with a hole, partly off the image; its vertices lie on no line of centres."""
    centre = rng.uniform(-3, 3 + np.array((width, height)))
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(5, 12)))
    outline = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    radii = rng.uniform(3, 15, (len(angles), 1))
    star = shapely.make_valid(shapely.Polygon(centre + radii * outline))
    largest = max(shapely.get_parts(star), key=lambda each: each.area)
    hole = shapely.Point(largest.representative_point()).buffer(1.3)
    return shapely.Polygon(largest.exterior, [hole.exterior] if largest.contains_properly(hole) else [])


def _contained(shapes: list[shapely.Polygon], height: int, width: int) -> NDArray[np.int32]:
    labels = np.full((height, width), 7, np.int32)
    for number, shape in enumerate(shapes, 11):
        for row in range(height):
            for col in range(width):
                if shape.contains(shapely.Point(col + 0.5, row + 0.5)):
                    labels[row, col] = number
    return labels
