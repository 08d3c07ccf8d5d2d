"""Annotations as regions: which points lie in them, what is read, and what is refused by name."""

from __future__ import annotations

import itertools
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import mapping

from tests.benchmarks.tissue_pictures import ArraySlide
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.geometry import Box, Mpp, Point, Size
from wsi_nucssl.locations import Location, locate
from wsi_nucssl.slide import TissueMask
from wsi_nucssl.slide.annotation_files import rois_by_place
from wsi_nucssl.slide.roi import Roi
from wsi_nucssl.slide.roi_reading import check_unit, read_roi

SIZE = Size(1000, 800)


def feature(shape: Any, kind: str = "", name: str = "", object_type: str = "annotation") -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": mapping(shape),
        "properties": {
            "objectType": object_type,
            **({"name": name} if name else {}),
            **({"classification": {"name": kind, "color": [1, 2, 3]}} if kind else {}),
        },
    }


def write(path: Path, *features: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def points(seed: int, count: int = 400) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(seed).uniform(-50, 1050, (count, 2))


@st.composite
def shapes(draw: st.DrawFn) -> Any:
    """Unions of discs and boxes with others cut out: holes, several parts, dents."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def blots(count: int) -> Any:
        discs = [
            shapely.Point(*rng.uniform(50, 950, 2)).buffer(rng.uniform(20, 300), 4) for _ in range(count)
        ]
        return shapely.union_all([*discs, shapely.box(*rng.uniform(0, 400, 2), *rng.uniform(500, 900, 2))])

    cut = shapely.difference(blots(draw(st.integers(0, 4))), blots(draw(st.integers(0, 3))).buffer(-60))
    return cut if cut.area > 1000 else shapely.box(100, 100, 500, 500)


@given(shapes(), st.integers(0, 99))
def test_points_are_where_shapely_has_them(
    tmp_path_factory: pytest.TempPathFactory, shape: Any, seed: int
) -> None:
    path = write(tmp_path_factory.mktemp("roi") / "a.geojson", feature(shape))
    roi, xy = read_roi(path, size=SIZE), points(seed)
    inside = shapely.contains_xy(shape, xy)
    assert np.array_equal(roi.rule.holds(xy), inside)
    box = Box(210, 130, 777, 640)
    there = ((xy >= [box.x0, box.y0]) & (xy < [box.x1, box.y1])).all(axis=1)
    near = pickle.loads(pickle.dumps(roi.rule.near(box)))
    assert np.array_equal(near.holds(xy[there]), inside[there])
    assert sum(map(len, near.areas)) <= sum(map(len, roi.rule.areas))
    (bounds,) = roi.parts_in([box])
    part = shapely.intersection(shape, shapely.box(box.x0, box.y0, box.x1, box.y1))
    if part.area > 1:
        assert bounds == pytest.approx(part.bounds)


@given(st.lists(st.integers(1, 99), min_size=1, max_size=3, unique=True))
def test_areas_side_by_side_share_no_point_and_miss_none(
    tmp_path_factory: pytest.TempPathFactory, lines: list[int]
) -> None:
    """Points on whole px, where the outlines run too: each lies in exactly one of the pieces of a square."""
    edges = [0, *sorted(lines), 100]
    pieces = [
        [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        for x0, x1 in itertools.pairwise(edges)
        for y0, y1 in itertools.pairwise(edges)
    ]
    slanted = [[(0, 0), (100, 0), (100, 100)], [(0, 0), (100, 100), (0, 100)]]
    xy = np.stack(np.meshgrid(np.arange(100.0), np.arange(100.0)), axis=-1).reshape(-1, 2)
    folder = tmp_path_factory.mktemp("pieces")
    for cut in (pieces, slanted):
        found = np.zeros(len(xy), np.int64)
        for number, ring in enumerate(cut):
            path = write(folder / f"{number}.geojson", feature(shapely.Polygon(ring)))
            found += read_roi(path, size=SIZE).rule.holds(xy)
        assert (found == 1).all()


def test_what_is_ignored_is_cut_out_and_region_is_not(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.geojson",
        feature(shapely.box(0, 0, 100, 100), "Region*"),
        feature(shapely.box(50, 0, 200, 100)),
        feature(shapely.box(40, 40, 60, 60), "Ignore*"),
        feature(shapely.box(300, 300, 400, 400), object_type="detection"),
        feature(shapely.Point(350, 350)),
    )
    roi = read_roi(path, size=SIZE)
    xy = np.array([[10.5, 10.5], [50.5, 50.5], [150.5, 50.5], [350.5, 350.5]])
    assert roi.rule.holds(xy).tolist() == [True, False, True, False]
    assert roi.box == Box(0, 0, 200, 100)


def test_classes_choose(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.geojson",
        feature(shapely.box(0, 0, 100, 100), "Tumor"),
        feature(shapely.box(100, 0, 200, 100), "Tumor: Positive"),
        feature(shapely.box(200, 0, 300, 100), "Stroma"),
        feature(shapely.box(0, 0, 300, 50), "Ignore*"),
    )
    xy = np.array([[50, 75], [150, 75], [250, 75], [50, 25]])
    held = {
        classes: read_roi(path, classes, size=SIZE).rule.holds(xy).tolist()
        for classes in ((), ("tumor",), ("Stroma", "Tumor: Positive"), ("Ignore*",))
    }
    assert held == {
        (): [True, True, True, False],
        ("tumor",): [True, True, False, False],
        ("Stroma", "Tumor: Positive"): [False, True, True, False],
        ("Ignore*",): [False, False, False, True],
    }


def test_coordinates_count_from_the_bounds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.geojson", feature(shapely.box(0, 0, 100, 100)))
    roi = read_roi(path, size=SIZE, corner=Point(40, 30))
    assert roi.box == Box(40, 30, 140, 130)
    assert roi.rule.holds(np.array([[20, 20], [120, 120]])).tolist() == [False, True]


def test_the_hash_is_of_the_outlines_and_of_nothing_else(tmp_path: Path) -> None:
    def sha(*features: dict[str, Any]) -> str:
        return read_roi(write(tmp_path / "a.geojson", *features), size=SIZE).sha256

    one, other = shapely.box(0, 0, 100, 100), shapely.box(20, 20, 80, 80)
    plain = sha(feature(one))
    assert plain == sha(feature(one, "Tumor", "its name"))
    assert len({plain, sha(feature(one), feature(other)), sha(feature(one), feature(other, "Ignore*"))}) == 3
    assert plain != sha(feature(shapely.box(0, 0, 100, 100.01)))


def test_tissue_in_regions_is_measured_finer_than_the_mask(tmp_path: Path) -> None:
    """A disc with a hole on a mask of 16 px a px, the right half of it tissue."""
    mask = np.zeros((50, 63), np.bool_)
    mask[:, 25:] = True
    tissue = TissueMask(mask, 16.0, Mpp.square(8.0))
    ring = shapely.difference(shapely.Point(400, 400).buffer(90, 64), shapely.Point(400, 400).buffer(33, 64))
    roi = read_roi(write(tmp_path / "a.geojson", feature(ring)), size=SIZE)
    assert roi.tissue_mm2(tissue, Box(0, 0, 1000, 800)) == pytest.approx(ring.area / 2 * 0.25 / 1e6, rel=2e-3)
    assert roi.tissue_mm2(tissue, Box(0, 0, 1000, 400)) == pytest.approx(ring.area / 4 * 0.25 / 1e6, rel=2e-3)
    assert roi.tissue_mm2(tissue, Box(0, 0, 400, 800)) == 0
    seen = roi.within(tissue)
    assert seen.area_mm2 == pytest.approx(ring.area / 2 * 0.25 / 1e6, rel=0.1)
    assert not (seen.mask & ~mask).any()


BOW = shapely.Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])


@pytest.mark.parametrize(
    ("features", "fault", "remedy"),
    [
        ([], "holds no annotation", "QuPath"),
        ([feature(shapely.box(0, 0, 9, 9), object_type="detection")], "detections, cells", "QuPath"),
        ([feature(shapely.LineString([(0, 0), (9, 9)]))], "none of its 1 annotations is a polygon", "brush"),
        ([feature(shapely.box(0, 0, 90, 90), "Ignore*")], "QuPath ignores", "`roi_class`"),
        ([feature(shapely.box(0, 0, 90, 90), "Necrosis")], "no polygon is of the class Tumor", "Necrosis"),
        ([feature(shapely.box(0, 0, 90, 90), "Tumor"), feature(BOW, "Tumor", "the bow")],
         r"annotation 2 \(the bow, Tumor\) has an outline .*Self-intersection", "simplify"),
        ([feature(shapely.box(1001, 0, 1090, 90), "Tumor")],
         r"annotation 1 \(Tumor\) lies off the slide: .*1001, 0.* of 1000 × 800 px", "belongs to this slide"),
        ([feature(shapely.box(0, 0, 10, 10), "Tumor")], "µm", "px of level 0"),
    ],
)  # fmt: skip
def test_what_is_no_region_is_refused_by_name(
    tmp_path: Path, features: list[dict[str, Any]], fault: str, remedy: str
) -> None:
    path = write(tmp_path / "a.geojson", *features)
    classes = () if any("Ignore*" in str(each) for each in features) else ("Tumor",)
    with pytest.raises(InputError, match=fault) as caught:
        read_roi(path, classes, size=SIZE, mpp=Mpp.square(0.25))
    assert "a.geojson" in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("ring", [[], [[]], [[[0, 0], [1, 1]]], [[[0, 0], [0, 0], [0, 0], [0, 0]]]])
def test_rings_without_an_area_are_refused_by_name(tmp_path: Path, ring: list[Any]) -> None:
    given = {**feature(shapely.box(0, 0, 1, 1)), "geometry": {"type": "Polygon", "coordinates": ring}}
    with pytest.raises(InputError, match=r"a\.geojson"):
        read_roi(write(tmp_path / "a.geojson", given), size=SIZE)


def test_a_missing_file_and_one_of_anything_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_roi(tmp_path / "none.geojson", size=SIZE)
    (tmp_path / "a.geojson").write_text("<xml/>")
    with pytest.raises(InputError, match="no GeoJSON"):
        read_roi(tmp_path / "a.geojson", size=SIZE)


def test_um_are_recognised_where_they_would_lie_on_tissue(tmp_path: Path) -> None:
    slide: Any = ArraySlide(np.full((2000, 2000, 3), 243, np.uint8))
    assert slide.mpp is not None
    mask = np.zeros((125, 125), np.bool_)
    mask[60:100, 60:100] = True
    tissue = TissueMask(mask, 16.0, Mpp.square(16 * slide.mpp.mean))

    def regions(x0: float, x1: float) -> Roi:
        box = shapely.box(x0, x0, x1, x1)
        return read_roi(write(tmp_path / "a.geojson", feature(box)), size=slide.dimensions, mpp=slide.mpp)

    check_unit(regions(1000, 1400), tissue, slide)
    check_unit(regions(1700, 1900), tissue, slide)  # on glass either way
    with pytest.raises(InputError, match="µm"):
        check_unit(regions(1000 * slide.mpp.mean, 1400 * slide.mpp.mean), tissue, slide)


def places(*names: str) -> dict[Location, str]:
    return {locate(f"slides/{name}.svs"): name for name in names}


def test_a_folder_holds_one_file_for_each_slide(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    for name in ("a", "site/b"):
        write(tmp_path / f"{name}.geojson", feature(shapely.box(0, 0, 9, 9)))
    found = rois_by_place(tmp_path, places("a", "site/b"))
    assert [path and path.relative_to(tmp_path) for path in found.values()] == [
        Path("a.geojson"),
        Path("site/b.geojson"),
    ]
    flat = rois_by_place(tmp_path, places("elsewhere/a"))
    assert [*flat.values()] == [tmp_path / "a.geojson"]
    assert {*rois_by_place(None, places("a", "b")).values()} == {None}
    with pytest.raises(UsageError, match=r"2 of 3 slides: c\.svs, d\.svs"):
        rois_by_place(tmp_path, places("a", "c", "site/d"))
    with pytest.raises(UsageError, match="regions of 2 slides"):
        rois_by_place(tmp_path, places("one/a", "two/a"))


def test_one_file_is_for_one_slide(tmp_path: Path) -> None:
    path = write(tmp_path / "r.geojson", feature(shapely.box(0, 0, 9, 9)))
    assert [*rois_by_place(path, places("a")).values()] == [path]
    with pytest.raises(UsageError, match="one file of regions for 2 slides"):
        rois_by_place(path, places("a", "b"))
    with pytest.raises(UsageError, match="no such file of regions"):
        rois_by_place(tmp_path / "other.geojson", places("a"))
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        rois_by_place(tmp_path / "nowhere", places("a"))
