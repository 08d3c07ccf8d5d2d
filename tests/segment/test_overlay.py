"""Overlays: of the right slide, on the slide, in the colours asked for, and the same from every format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.segment import fakes
from wsi_nucssl.captions import colours_of
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.export.extents import extent_of
from wsi_nucssl.export.reading import NucleiFile
from wsi_nucssl.geometry import Box
from wsi_nucssl.segment.drawable import open_drawable
from wsi_nucssl.segment.overlay import OverlayStyle, draw_overlay
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.slide import RGB, Canvas, open_slide

Segment = Callable[..., SegmentSummary]
REGION = Box(100, 100, 500, 400)
ALL = (-1e6, -1e6, 1e6, 1e6)


@pytest.fixture(scope="module")
def slide(tissue: RGB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.write_slide(tmp_path_factory.mktemp("slide") / "tissue.tif", tissue)


@pytest.fixture
def files(segment: Segment, slide: Path, tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"n.{ending}" for ending in ("geojson", "geojson.gz", "parquet")]
    segment(slide, paths)
    return paths


def drawn(slide: Path, nuclei: Path, zoom: float = 1.0, region: Box | None = REGION, **style: Any) -> RGB:
    with open_slide(slide) as opened:
        return draw_overlay(opened, nuclei, region, zoom, OverlayStyle(**style))


@pytest.mark.parametrize(
    "style",
    [{}, {"color": (0, 0, 255), "width": 3.0}, {"fill": 0.5}, {"color_by": "area_um2"}, {"shape": "density"}],
)
def test_every_format_gives_one_picture(files: list[Path], slide: Path, style: dict[str, Any]) -> None:
    pictures = [drawn(slide, path, plain=True, **style) for path in files]
    with open_slide(slide) as opened:
        tissue = opened.read(REGION)
    assert (pictures[0] != tissue).any()
    assert all((picture == pictures[0]).all() for picture in pictures)


@pytest.mark.parametrize("name", ["area_um2", "Area µm^2"])
def test_colours_follow_the_measurement(slide: Path, tmp_path: Path, name: str) -> None:
    values = [10, 20, 30]
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x, 20], [x + 20, 20], [x + 20, 40], [x, 40], [x, 20]]],
            },
            "properties": {"objectType": "detection", "measurements": {"Area µm^2": value}},
        }
        for x, value in zip((20, 60, 100), values, strict=True)
    ]
    path = tmp_path / "n.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    picture = drawn(slide, path, region=Box(0, 0, 200, 100), color_by=name, fill=1.0, plain=True)
    table = colours_of("viridis").astype(int)
    low, high = np.percentile(values, (1, 99))
    for x, value in zip((20, 60, 100), values, strict=True):
        expected = table[round(min(max((value - low) / (high - low), 0), 1) * 255)]
        assert (picture[30, x + 10] == expected).all()


def test_another_slides_nuclei_are_refused(files: list[Path], tissue: RGB, tmp_path: Path) -> None:
    other = fakes.write_slide(tmp_path / "other.tif", tissue[::-1].copy())
    for path in files:
        with pytest.raises(InputError, match=r"another slide, tissue\.tif"):
            drawn(other, path)
    with open_slide(other) as opened:
        picture = draw_overlay(opened, files[0], REGION, anyway=True)
    assert picture.shape[0] > REGION.height  # what stands below
    assert picture.shape[1] == REGION.width


@pytest.mark.parametrize(
    "region",
    [
        *(Box(5000, 0, 5100, 100), Box(-300, -300, -10, -10), Box(0, 900, 50, 950)),
        *(Box(1100, 0, 1150, 50), Box(-50, 0, 0, 50), Box(0, -50, 50, 0)),
    ],
)
def test_a_region_off_the_slide_is_refused(files: list[Path], slide: Path, region: Box) -> None:
    with pytest.raises(UsageError, match="lies off the slide"):
        drawn(slide, files[0], region=region)


def test_a_measurement_that_nobody_has_is_refused(files: list[Path], slide: Path) -> None:
    for path in files:
        with pytest.raises((InputError, UsageError), match=r"measurement 'nix'.*(?:Solidity|solidity)"):
            drawn(slide, path, color_by="nix")


def test_from_afar_density_is_drawn_and_captions_stand_below(files: list[Path], slide: Path) -> None:
    far = drawn(slide, files[0], zoom=0.1, region=None)
    assert (far == drawn(slide, files[0], zoom=0.1, region=None, shape="density")).all()
    plain = drawn(slide, files[0], zoom=0.1, region=None, plain=True)
    assert (far[: plain.shape[0], : plain.shape[1]] == plain).all()
    assert far.shape[0] > plain.shape[0]
    near = drawn(slide, files[0], plain=True)
    assert (near == drawn(slide, files[0], plain=True, shape="outlines")).all()


def test_enlarged_outlines_are_drawn_far_from_the_corner_too(files: list[Path], slide: Path) -> None:
    region = Box(300, 300, 400, 400)
    enlarged = drawn(slide, files[0], zoom=2.0, region=region, plain=True)
    with open_slide(slide) as opened:
        tissue = Canvas.at_scale(opened, 0.5).read(Box(600, 600, 800, 800))
    changed = (enlarged != tissue).any(axis=2)
    assert all(part.any() for half in np.split(changed, 2) for part in np.split(half, 2, axis=1))


@pytest.mark.parametrize(("x", "y"), [(100, 100), (110, 130)])
def test_less_than_a_pixel_is_drawn_as_one(files: list[Path], slide: Path, x: int, y: int) -> None:
    assert drawn(slide, files[0], zoom=0.1, region=Box(x, y, x + 3, y + 3), plain=True).shape == (1, 1, 3)


def test_where_nuclei_are_densest_three_quarters_are_the_last_colour(slide: Path, tmp_path: Path) -> None:
    square = [[[295, 295], [305, 295], [305, 305], [295, 305], [295, 295]]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": square}, "properties": {}}
    path = tmp_path / "n.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature] * 50}))
    with open_slide(slide) as opened:
        tissue = opened.read(Box(0, 0, 600, 600)).astype(float)
    picture = drawn(slide, path, region=Box(0, 0, 600, 600), shape="density", plain=True)
    last = colours_of("viridis")[-1].astype(float)
    np.testing.assert_allclose(picture[300, 300], 0.25 * tissue[300, 300] + 0.75 * last, atol=8)
    assert (picture[:100] == tissue[:100]).all()


@pytest.mark.parametrize(
    "style",
    [
        *({"width": 0}, {"width": 0.4}, {"width": 50.5}, {"fill": 1.5}, {"fill": -0.5}, {"shape": "dots"}),
        {"color": (1, 2, 3), "color_by": "x"},
    ],
)
def test_an_impossible_style_is_refused(style: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        OverlayStyle(**style)


@pytest.mark.parametrize("style", [{"width": 0.5, "fill": 0}, {"width": 50, "fill": 1}])
def test_a_style_goes_up_to_its_bounds(style: dict[str, Any]) -> None:
    assert OverlayStyle(**style).shape == "auto"


@pytest.mark.parametrize(
    ("text", "extent"),
    [
        (b'{"coordinates":[[[1.5,-2],[30,4.25],[1.5,-2]]]}', (1.5, -2, 30, 4.25)),
        (b'{"coordinates" : [ [ [1, 2, 99], [3, 4, -99] ] ]}', (1, 2, 3, 4)),
        (b'{"a":{"coordinates":[[[1,2],[3,4]]]},"b":{"coordinates":[[[[0,9]]]]}}', (0, 2, 3, 9)),
        (b'{"coordinates":[[[1e3,2],[3,4]]]}', None),
        (b'{"coordinates":[]}', None),
        (b'{"coordinates":null}', None),
        (b'{"type":"Point"}', None),
        (b'{"coordinates":[[[1,2],[3', None),
    ],
)
def test_an_extent_is_that_of_all_coordinates_or_unknown(
    text: bytes, extent: tuple[float, ...] | None
) -> None:
    assert extent_of(bytearray(text)) == extent


def test_what_is_left_unparsed_lies_off_the_region(files: list[Path]) -> None:
    nuclei = NucleiFile(files[0])
    box = (150.0, 100.0, 420.0, 330.0)

    def reaches(rings: list[Any]) -> bool:
        low, high = rings[0].min(axis=0), rings[0].max(axis=0)
        return bool((high >= box[:2]).all() and (low <= box[2:]).all())

    expected = [each.feature["id"] for each in nuclei if reaches(each.rings())]
    assert [each.feature["id"] for each in nuclei.near(box)] == expected
    assert 0 < len(expected) < sum(1 for _ in nuclei)


@pytest.mark.parametrize("name", ["", "area_um2", "Area µm^2", "solidity", "Hematoxylin OD mean"])
def test_nuclei_near_a_box_are_the_same_out_of_every_format(files: list[Path], name: str) -> None:
    """What was stored is exactly what touches the box; of GeoJSON, others may come along."""
    text, stored = open_drawable(files[0], name), open_drawable(files[2], name)
    every = [(each.rings[0].min(axis=0), each.rings[0].max(axis=0), each.value) for each in text.near(ALL)]
    low, high = (np.array([each[end] for each in every]) for end in (0, 1))
    values = np.array([each[2] for each in every])
    assert len(np.unique(values)) > (20 if name else 0)
    one = len(every) // 2  # a nucleus that the boxes just touch, on each side
    for box in (
        (150.0, 100.0, 420.0, 330.0),
        (high[one, 0], low[one, 1], high[one, 0] + 30, high[one, 1]),
        (low[one, 0] - 30, low[one, 1], low[one, 0], high[one, 1]),
        (low[one, 0], high[one, 1], high[one, 0], high[one, 1] + 30),
        (low[one, 0], low[one, 1] - 30, high[one, 0], low[one, 1]),
    ):
        touching = ((high >= box[:2]) & (low <= box[2:])).all(axis=1)
        assert touching.any()
        near = [*stored.near(box)]
        ends = np.array([[each.rings[0].min(axis=0), each.rings[0].max(axis=0)] for each in near])
        np.testing.assert_allclose(ends, np.stack([low, high], axis=1)[touching], atol=0.02)
        np.testing.assert_allclose([each.value for each in near], values[touching], atol=1e-2)
        centres, found = (np.concatenate(each) for each in zip(*stored.centres(box), strict=True))
        np.testing.assert_allclose(centres, ((low + high) / 2)[touching], atol=0.02)
        np.testing.assert_allclose(found, values[touching], atol=1e-2)
    assert [*stored.near((-90.0, -90.0, -80.0, -80.0))] == []


@pytest.mark.parametrize("style", [{}, {"fill": 0.5}, {"color_by": "area_um2", "fill": 0.3}])
def test_more_nuclei_than_are_held_give_the_same_picture(
    files: list[Path], slide: Path, style: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = drawn(slide, files[0], **style)
    monkeypatch.setattr("wsi_nucssl.segment.overlay._MOST_HELD", 3)
    assert (drawn(slide, files[0], **style) == held).all()
