"""Pixel-edge polygons."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.nuclei.reference import components
from tests.nuclei.scenes import configs, scenes
from wsi_nucssl.nuclei.instances import label_instances
from wsi_nucssl.nuclei.polygons import Polygons, trace_polygons
from wsi_nucssl.nuclei.settings import InstanceConfig


def to_shapely(polygons: Polygons) -> NDArray[np.object_]:
    shapes: NDArray[np.object_] = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON,
        polygons.ring_xy.astype(float),
        (polygons.ring_offsets, polygons.polygon_offsets),
    )
    return shapes


def noise_labels(seed: int, height: int, width: int, share: float) -> NDArray[np.int32]:
    """Every 4-connected component of noise, holes and pinched corners left in: the hardest shapes."""
    mask = np.random.default_rng(seed).random((height, width)) < share
    labels = np.zeros(mask.shape, np.int32)
    for number, pixels in enumerate(components((int(r), int(c)) for r, c in np.argwhere(mask)), 1):
        labels[tuple(np.array(pixels).T)] = number
    return labels


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 25),
    st.integers(1, 25),
    st.floats(0.2, 0.95),
    st.floats(0.02, 40),
    st.floats(0.02, 40),
)
def test_polygons_of_noise_are_valid_and_cover_their_pixels(
    seed: int, height: int, width: int, share: float, scale_x: float, scale_y: float
) -> None:
    labels = noise_labels(seed, height, width, share)
    polygons = to_shapely(trace_polygons(labels, labels.max(initial=0)))
    for number, polygon in enumerate(polygons, 1):
        boxes = [shapely.box(col, row, col + 1, row + 1) for row, col in np.argwhere(labels == number)]
        assert polygon.is_valid
        assert polygon.area == len(boxes)
        assert polygon.equals(shapely.union_all(boxes))
    scaled = shapely.transform(polygons, lambda xy: np.round(xy * [scale_x, scale_y] - 3.3, 2))
    assert shapely.is_valid(scaled).all()


@settings(max_examples=80, deadline=None)
@given(scenes(), configs)
def test_polygons_of_instances(scene: NDArray[np.uint8], config: InstanceConfig) -> None:
    labels = label_instances(scene, config)
    polygons = trace_polygons(labels, labels.max(initial=0))
    shapes = to_shapely(polygons)
    assert shapely.is_valid(shapes).all()
    np.testing.assert_array_equal(shapely.area(shapes), np.bincount(labels.ravel())[1:])


def test_vertices_are_corners_and_rings_are_closed() -> None:
    labels = np.array([[1, 1, 1, 0], [1, 0, 1, 2], [1, 1, 1, 2]], np.int32)
    polygons = trace_polygons(labels, 2)
    rings = [polygons.ring_xy[a:b].tolist() for a, b in pairwise(polygons.ring_offsets)]
    assert rings == [
        [[0, 0], [3, 0], [3, 3], [0, 3], [0, 0]],
        [[1, 2], [2, 2], [2, 1], [1, 1], [1, 2]],
        [[3, 1], [4, 1], [4, 3], [3, 3], [3, 1]],
    ]
    assert polygons.polygon_offsets.tolist() == [0, 2, 3]


def test_no_instances() -> None:
    polygons = trace_polygons(np.zeros((4, 5), np.int32), 0)
    assert polygons.ring_offsets.tolist() == [0]
    assert polygons.polygon_offsets.tolist() == [0]
