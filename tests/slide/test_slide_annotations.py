"""Tissue as annotations and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.benchmarks.tissue_pictures import ArraySlide, fat
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.geometry import Point
from wsi_nucssl.slide import tissue_mask
from wsi_nucssl.slide.annotations import read_annotations, write_annotations
from wsi_nucssl.slide.outlines import filled, outlines
from wsi_nucssl.slide.tissue import write_tissue


@settings(deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_outlines_fill_to_the_same_mask(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    polygons = outlines(mask)
    again = np.zeros(mask.shape, np.bool_)
    for rings in polygons:
        part = filled([ring.astype(np.float64) for ring in rings], (mask.shape[0], mask.shape[1]))
        assert not (again & part).any()
        again |= part
        x, y = rings[0].T
        assert (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() > 0  # the outer ring comes first
    assert np.array_equal(again, mask)


def test_the_file_gives_the_mask_back(tmp_path: Path) -> None:
    slide = fat().slide
    mask = tissue_mask(slide)
    write_tissue(tmp_path / "tissue.geojson", mask, slide)
    again = tissue_mask(slide, str(tmp_path / "tissue.geojson"))
    assert mask.mask.any()
    assert np.array_equal(again.mask, mask.mask)
    feature = json.loads((tmp_path / "tissue.geojson").read_bytes())["features"][0]
    assert feature["properties"]["objectType"] == "annotation"


def test_coordinates_count_from_the_bounds(tmp_path: Path) -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[5:9, 10:20] = True
    write_annotations(tmp_path / "a.geojson", mask, 16.0, Point(40, 48))
    ring = json.loads((tmp_path / "a.geojson").read_bytes())["features"][0]["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1] == [120, 32]
    assert np.array_equal(read_annotations(tmp_path / "a.geojson", (20, 30), 16.0, Point(40, 48)), mask)


def _square(x: float, y: float, name: str | None, kind: str = "annotation") -> dict[str, Any]:
    ring = [[x, y], [x + 40, y], [x + 40, y + 40], [x, y + 40], [x, y]]
    properties = {"objectType": kind, **({"classification": {"name": name}} if name else {})}
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
    }


def test_classes_say_what_is_tissue(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(
        json.dumps([_square(0, 0, None), _square(100, 0, None, "detection"), _square(20, 0, "Ignore*")])
    )
    mask = read_annotations(path, (10, 20), 10.0, Point(0, 0))
    assert np.array_equal(np.argwhere(mask.any(axis=0)).ravel(), [0, 1])
    path.write_text(
        json.dumps(
            {"type": "FeatureCollection", "features": [_square(0, 0, "Tumor"), _square(60, 0, "Tissue")]}
        )
    )
    mask = read_annotations(path, (10, 20), 10.0, Point(0, 0))
    assert np.array_equal(np.argwhere(mask.any(axis=0)).ravel(), [6, 7, 8, 9])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        '{"type": "FeatureCollection"}',
        "[1]",
        '[{"geometry": null}]',
        json.dumps([_square(9999, 0, None)]),
    ]
    + [
        '[{"geometry": {"type": "Polygon", "coordinates": ' + ring + "}}]"
        for ring in ("[[]]", "3", '[[["a", 1]]]')
    ],
)
def test_what_is_no_annotation_of_the_slide_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(text)
    with pytest.raises(InputError, match=r"a\.geojson"):
        read_annotations(path, (10, 20), 10.0, Point(0, 0))


def test_a_name_that_is_nothing_is_a_usage_error(tmp_path: Path) -> None:
    slide = ArraySlide(np.full((300, 300, 3), 243, np.uint8))
    for method in ("otsuu", str(tmp_path)):
        with pytest.raises(UsageError, match="tissue"):
            tissue_mask(slide, method)


def test_none_looks_at_all_but_the_fill() -> None:
    image = np.full((900, 900, 3), 243, np.uint8)
    assert tissue_mask(ArraySlide(image), "none").fraction == 1
    image[:, 450:] = 0
    assert tissue_mask(ArraySlide(image), "none").fraction == pytest.approx(0.5, abs=0.02)


def test_otsu_finds_what_is_dark() -> None:
    image = np.full((1600, 1600, 3), 243, np.uint8)
    image[400:1200, 400:1200] = (160, 170, 165)
    assert tissue_mask(ArraySlide(image), "otsu").fraction == pytest.approx(0.25, abs=0.02)
