"""Aperio annotations: the pixels of each region, and files that are not what they should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.datasets.factory import write_xml
from wsi_nucssl.datasets.aperio_xml import read_annotation, read_xml_labels
from wsi_nucssl.datasets.label_files import read_labels
from wsi_nucssl.datasets.polygons import area_of, rasterise
from wsi_nucssl.errors import DatasetError

SQUARE = [(1, 1), (4, 1), (4, 4), (1, 4)]
coordinate = st.one_of(st.integers(-3, 12), st.integers(-18, 72).map(lambda n: n / 6))
polygons = st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=9)


def is_inside(x: int, y: int, polygon: list[tuple[float, float]]) -> bool:
    """Even-odd rule, edge by edge: an edge counts if it spans x, half-open, and lies beyond y.

    Where it does is computed from its end of smaller x, and no farther than its ends: rounding is the same both ways.
    """
    odd = False
    for edge in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        (x1, y1), (x2, y2) = sorted(edge)
        if x1 <= x < x2:
            crossing = (y2 - y1) * (x - x1) / (x2 - x1) + y1
            odd ^= y < min(max(crossing, min(y1, y2)), max(y1, y2))
    return odd


@given(st.lists(polygons, max_size=4))
@example([[(2, 3), (35 / 6, 0)]])  # there and back: rounded otherwise each way, it once held a pixel
def test_rasterisation_agrees_with_plain_loops(scene: list[list[tuple[float, float]]]) -> None:
    expected = np.zeros((8, 10), np.int32)
    for row, col in np.ndindex(expected.shape):
        hits = [n for n, polygon in enumerate(scene, start=1) if is_inside(col, row, polygon)]
        expected[row, col] = hits[0] if hits else 0
    drawn = rasterise([np.array(polygon, dtype=float) for polygon in scene], (8, 10))
    assert drawn.dtype == np.int32
    np.testing.assert_array_equal(drawn, expected)


@given(polygons)
def test_a_polygon_and_its_neighbour_share_no_pixel(polygon: list[tuple[float, float]]) -> None:
    """Cut by a vertical line, half-open edges give each pixel to exactly one side."""
    ring = np.array(polygon, dtype=float)
    whole = rasterise([ring], (8, 10)) > 0
    left, right = np.minimum(ring, [5, np.inf]), np.maximum(ring, [5, -np.inf])
    halves = [rasterise([half], (8, 10)) > 0 for half in (left, right)]
    assert not (halves[0] & halves[1]).any()
    assert not halves[0][:, 5:].any()
    assert not halves[1][:, :5].any()
    assert whole.shape == (8, 10)


def test_a_square_covers_its_half_open_pixels() -> None:
    expected = np.zeros((6, 6), np.int32)
    expected[1:4, 1:4] = 1
    np.testing.assert_array_equal(rasterise([np.array(SQUARE, float)], (6, 6)), expected)
    assert area_of(np.array(SQUARE, float)) == expected.sum()


def test_the_published_files_give_the_published_labels(monuseg: Path) -> None:
    files = sorted((monuseg / "annotations").glob("*.xml"))
    assert len(files) == 3
    for file in files:
        published = read_labels(monuseg / "labels" / f"{file.stem}.png", (1000, 1000))
        np.testing.assert_array_equal(read_xml_labels(file, (1000, 1000)), published, err_msg=file.name)


def test_regions_of_all_annotations_count_and_the_earlier_keeps_overlaps(tmp_path: Path) -> None:
    later = [(x + 1, y) for x, y in SQUARE]
    file = write_xml(tmp_path / "a.xml", SQUARE, later, annotations=2)
    labels = read_xml_labels(file, (6, 6))
    assert labels[2].tolist() == [0, 1, 1, 1, 2, 0]


def test_regions_without_area_are_dropped_and_counted(tmp_path: Path) -> None:
    line, click = [(1, 1), (5, 5)], [(2, 2)]
    file = write_xml(tmp_path / "a.xml", line, SQUARE, click, [])
    annotation = read_annotation(file)
    assert (len(annotation.polygons), annotation.dropped) == (1, 3)
    assert read_xml_labels(file, (6, 6)).max() == 1


def test_regions_that_all_lie_elsewhere_are_no_empty_image(tmp_path: Path) -> None:
    file = write_xml(tmp_path / "a.xml", [(x + 100, y) for x, y in SQUARE])
    with pytest.raises(DatasetError, match="none of its 1 regions covers a pixel"):
        read_xml_labels(file, (6, 6))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<?xml version='1.0' encoding='foo'?><Annotations/>", "broken XML: .*foo"),
        ("<Annotations>\n<Annotation>\n</Annotations>", "line 3"),
        ("<Annotations>\n<Region><Vertex X='1'/></Region></Annotations>", "line 2: a Vertex needs numbers"),
        ("<Annotations>\n\n<Region><Vertex X='1' Y='b'/></Region></Annotations>", "line 3: a Vertex needs"),
        ("<Annotations><Region><Vertex X='nan' Y='1'/></Region></Annotations>", "line 1: a Vertex lies"),
        ("<Annotations><Vertex X='1' Y='1'/></Annotations>", "outside any Region"),
        ("<svg/>", "no Aperio annotation"),
        ("", "line 1"),
        ("<Annotations/>", "has no region"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "broken.xml"
    file.write_text(text)
    with pytest.raises(DatasetError, match=says) as caught:
        read_annotation(file)
    assert caught.value.path == str(file)
    assert caught.value.remedy


def test_an_xml_bomb_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bomb.xml"
    file.write_text('<!DOCTYPE a [<!ENTITY x "xxxx"><!ENTITY y "&x;&x;">]>\n<Annotations>&y;</Annotations>')
    with pytest.raises(DatasetError, match="not safe"):
        read_annotation(file)


@given(polygons)
def test_the_way_round_makes_no_difference(polygon: list[tuple[float, float]]) -> None:
    """Neighbours run along their common edge in opposite directions."""
    ring = np.array(polygon, dtype=float)
    np.testing.assert_array_equal(rasterise([ring], (8, 10)), rasterise([ring[::-1]], (8, 10)))
