"""Doubts: what is implausible is said, kept and, with strict, an error; what is usual is not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely
import shapely.geometry
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import wsi_nucssl as wn
from tests.segment import fakes
from tests.segment.features import read_features
from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box, Mpp
from wsi_nucssl.models.weights import Model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.nuclei.table import MEASUREMENTS, Nuclei
from wsi_nucssl.segment.outputs import run_path
from wsi_nucssl.segment.plausibility import NucleusTally, doubts_after, sees_nuclei
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.slide import RGB

Segment = Callable[..., SegmentSummary]


@pytest.fixture(scope="module")
def tissue_slide(tissue: RGB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1100 × 900 px of tissue, at 0.25 µm per px."""
    return fakes.write_slide(tmp_path_factory.mktemp("slides") / "tissue.tif", tissue)


def polygons(path: Path) -> NDArray[np.object_]:
    """Those of a GeoJSON file, in level-0 px."""
    return np.array([shapely.geometry.shape(each["geometry"]) for each in read_features(path)])


def table(areas: list[int], probability: float | list[float] = 0.9) -> Nuclei:
    """Nuclei of these areas in px, and of these probabilities; nothing else of them counts here."""
    count = len(areas)
    empty = Nuclei.empty()
    measurements = np.zeros((count, len(MEASUREMENTS)), np.float32)
    measurements[:, MEASUREMENTS.index("area")] = areas
    measurements[:, MEASUREMENTS.index("probability")] = probability
    return replace(
        empty,
        seed_xy=np.zeros((count, 2), np.int64),
        polygon_offsets=np.zeros(count + 1, np.int64),
        measurements=measurements,
        truncated=np.zeros(count, np.bool_),
        type_id=np.full(count, -1, np.int16),
        type_probability=np.zeros((count, 0), np.float32),
    )


def tally(*tables: list[int]) -> NucleusTally:
    areas = NucleusTally()
    for each in tables:
        areas.add(table(each))
    return areas


@given(st.lists(st.lists(st.integers(1, 70_000), max_size=20), max_size=5))
def test_the_median_is_that_of_a_sorted_list(tables: list[list[int]]) -> None:
    every = sorted(min(area, 1 << 16) for each in tables for area in each)
    expected = every[(len(every) - 1) // 2] if every else 0
    assert tally(*tables).median_px() == expected


@pytest.mark.parametrize(
    ("count", "area_um2", "mm2", "kinds"),
    [
        (3000, 30, 1.0, []),
        (100, 30, 1.0, []),  # fat
        (1500, 25, 0.0625, []),  # a dense image of MoNuSeg
        (3000, 5, 1.0, ["nucleus-size"]),
        (3000, 120, 1.0, ["nucleus-size"]),
        (4, 120, 0.01, []),  # too few to say
        (20, 30, 1.0, ["nuclei-per-mm2"]),
        (50_000, 30, 1.0, ["nuclei-per-mm2"]),
        (20, 300, 1.0, ["nucleus-size", "nuclei-per-mm2"]),
        (0, 0, 1.0, ["no-nuclei"]),
        (0, 0, 0.005, []),
        (0, 0, 0.01, ["no-nuclei"]),
        (3000, 10, 1.0, []),  # a bound belongs to what is usual
        (3000, 80, 1.0, []),
        (5, 120, 0.01, ["nucleus-size"]),
        (50, 30, 1.0, []),
        (40_000, 30, 1.0, []),
        (49, 30, 1.0, ["nuclei-per-mm2"]),
        (2, 30, 0.05, ["nuclei-per-mm2"]),
        (2, 30, 0.0499, []),  # too little tissue to say
        (300, 30, 0.0, []),  # nobody knows how much
    ],
)
def test_size_and_density(count: int, area_um2: int, mm2: float, kinds: list[str]) -> None:
    found = doubts_after(tally([16 * area_um2] * count), mm2, Mpp.square(0.25))
    assert [doubt.kind for doubt in found] == kinds


def test_a_doubtful_size_names_the_mpp_at_which_it_were_none() -> None:
    (doubt,) = doubts_after(tally([16 * 5] * 3000), 1.0, Mpp.square(0.25))
    found = re.search(r"has 5 µm².*at (\S+) times the mpp it would have (\S+):", doubt.what)
    assert found is not None, doubt.what
    assert float(found[2]) == pytest.approx(5 * float(found[1]) ** 2, rel=0.01)
    assert 10 < float(found[2]) < 80


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (20, "^20 nuclei per mm² of tissue, where tissue has 50 to 40000: .*another stain"),
        (90_000, "^90000 nuclei per mm² of tissue, .* a tissue mask that misses tissue$"),
    ],
)
def test_a_doubtful_density_is_said_with_what_may_cause_it(count: int, said: str) -> None:
    (doubt,) = doubts_after(tally([16 * 30] * count), 1.0, Mpp.square(0.25))
    assert re.search(said, doubt.what), doubt.what


@given(st.lists(st.lists(st.integers(0, 1000), max_size=20), max_size=5))
def test_the_median_probability_is_that_of_a_sorted_list(tables: list[list[int]]) -> None:
    found = NucleusTally()
    for each in tables:
        found.add(table([480] * len(each), [value / 1000 for value in each]))
    every = sorted(value / 1000 for each in tables for value in each)
    assert found.median_probability() == (every[(len(every) - 1) // 2] if every else 0)


@pytest.mark.parametrize(
    ("sure", "unsure", "is_doubted"),
    [(20, 0, False), (0, 20, True), (0, 19, False), (15, 15, True), (16, 15, False), (3000, 2900, False)],
)
def test_nuclei_of_which_the_network_is_unsure_are_doubted(sure: int, unsure: int, is_doubted: bool) -> None:
    found = NucleusTally()
    found.add(table([480] * unsure, 0.799))
    found.add(table([480] * sure, 0.8))
    doubts = doubts_after(found, 0.0, Mpp.square(0.25))
    assert [doubt.kind for doubt in doubts] == ["unsure"] * is_doubted
    assert all("probability is 0.799" in doubt.what for doubt in doubts)


def test_sizes_are_those_of_the_models_px_along_both_axes() -> None:
    assert doubts_after(tally([100] * 5), 0.0, Mpp(0.25, 0.4)) == ()
    (doubt,) = doubts_after(tally([100] * 5), 0.0, Mpp(0.25, 0.3))
    assert "the median nucleus has 7.5 µm²" in doubt.what


@pytest.mark.parametrize(("byte", "plane", "is_seen"), [(127, 0, False), (128, 0, True), (255, 1, False)])
def test_the_network_saw_a_nucleus_where_a_px_is_as_sure_as_a_marker(
    byte: int, plane: int, is_seen: bool
) -> None:
    config = InstanceConfig(body=0.5)
    assert config.body_byte == 128
    planes = np.zeros((3, 20, 30), np.uint8)
    planes[plane, 11, 17] = byte
    blocks = [SimpleNamespace(core=Box(x, 0, x + 10, 20)) for x in (0, 10, 20)]
    store: Any = SimpleNamespace(read=lambda box: planes[:, *box.rc])
    plan: Any = SimpleNamespace(active=blocks)
    assert sees_nuclei(store, plan, config) == is_seen


def test_all_filtered_is_told_from_none_seen() -> None:
    kinds = [doubts_after(tally(), 1.0, Mpp.square(0.25), seen.__bool__)[0].kind for seen in (True, False)]
    assert kinds == ["all-filtered", "no-nuclei"]


def test_nuclei_that_are_all_too_small_are_noticed(segment: Segment, tissue: RGB, tmp_path: Path) -> None:
    slide = fakes.write_slide(tmp_path / "small.tif", tissue[::2, ::2])
    summary = segment(slide, tmp_path / "a.geojson", model=fakes.model(min_area_px=2000))
    assert summary.nuclei == 0
    assert [doubt.kind for doubt in summary.doubts] == ["all-filtered"]


def test_a_usual_slide_is_not_in_doubt(segment: Segment, sample: Path, tmp_path: Path) -> None:
    begun = perf_counter()
    summary = segment(sample, tmp_path / "a.geojson", strict=True)
    assert 0 < summary.seconds < perf_counter() - begun
    assert summary.doubts == ()
    assert 10 < summary.median_um2 < 80


def test_weights_that_are_not_those_of_their_card_are_doubted(
    segment: Segment, tissue: RGB, double_model: Model, tmp_path: Path
) -> None:
    weights = tmp_path / "double.safetensors"
    weights.write_bytes(b"damaged")
    weights.with_suffix(".md").write_text(f"`{weights.name}`, 1 MB, SHA-256 `{64 * '0'}`")
    model = replace(double_model, path=weights)
    slide = fakes.write_slide(tmp_path / "tissue.tif", tissue)
    with pytest.raises(SlideError, match=r"double\.safetensors .* another SHA-256"):
        segment(slide, tmp_path / "a.geojson", model=model, strict=True)
    summary = segment(slide, tmp_path / "a.geojson", model=model, resume=True)
    pixels = wn.segment(tissue, mpp=0.25, model=model, engine=fakes.DarkIsNucleus())
    for doubts in (summary.doubts, pixels.doubts):
        assert [doubt.kind for doubt in doubts] == ["weights-card"]


def test_glass_is_no_tissue(segment: Segment, tmp_path: Path) -> None:
    slide = fakes.write_slide(tmp_path / "glass.tif", np.full((600, 800, 3), 240, np.uint8))
    summary = segment(slide, tmp_path / "a.geojson")
    assert [doubt.kind for doubt in summary.doubts] == ["no-tissue"]
    kept = json.loads((run_path(summary.output) / "summary.json").read_text())
    assert kept["doubts"][0]["kind"] == "no-tissue"
    again = segment(slide, tmp_path / "a.geojson", resume=True)
    assert again.doubts == summary.doubts


def test_a_wrong_mpp_shows_in_the_size_of_nuclei(
    segment: Segment, tissue_slide: Path, tmp_path: Path
) -> None:
    summary = segment(tissue_slide, tmp_path / "a.geojson", mpp=0.6, force_mpp=True)
    assert "nucleus-size" in [doubt.kind for doubt in summary.doubts]
    assert summary.median_um2 > 80


def test_strict_writes_nothing_and_resumes_without_it(
    segment: Segment, tissue_slide: Path, tmp_path: Path
) -> None:
    output = tmp_path / "a.geojson"
    with pytest.raises(SlideError, match="median nucleus"):
        segment(tissue_slide, output, mpp=0.6, force_mpp=True, strict=True)
    assert [path.name for path in tmp_path.iterdir()] == [run_path(output).name]
    lenient = segment(tissue_slide, output, mpp=0.6, force_mpp=True, resume=True)
    assert lenient.network_seconds == 0  # all had been predicted
    assert output.exists()
    with pytest.raises(SlideError, match="median nucleus"):
        segment(tissue_slide, output, mpp=0.6, force_mpp=True, resume=True, strict=True)


def test_oblong_pixels_keep_places_and_areas(segment: Segment, tissue: RGB, tmp_path: Path) -> None:
    """The same tissue with every other column gone, at 0.5 × 0.25 µm: nuclei where they were, as large."""
    square = segment(fakes.write_slide(tmp_path / "square.tif", tissue), tmp_path / "a.geojson")
    halved = tissue.reshape(tissue.shape[0], -1, 2, 3).mean(axis=2).round().astype(np.uint8)
    oblong = segment(
        fakes.write_slide(tmp_path / "oblong.tif", halved, mpp=(0.5, 0.25)), tmp_path / "b.geojson"
    )
    expected, found = (polygons(each.output) for each in (square, oblong))
    widened = shapely.transform(found, lambda xy: xy * [2, 1])
    tree = shapely.STRtree(shapely.centroid(expected))
    nearest, distance = tree.query_nearest(shapely.centroid(widened), return_distance=True, all_matches=False)
    near = distance < 2  # level-0 px of the square slide, 0.5 µm
    assert near.mean() > 0.9
    ratio = shapely.area(widened[nearest[0][near]]) / shapely.area(expected[nearest[1][near]])
    assert np.median(ratio) == pytest.approx(1, abs=0.05)
    um2 = [
        np.median([f["properties"]["measurements"]["Area µm^2"] for f in read_features(each.output)])
        for each in (square, oblong)
    ]
    assert um2[1] == pytest.approx(um2[0], rel=0.08)


def test_results_in_memory_have_doubts_too(tissue: RGB, double_model: Model) -> None:
    engine = fakes.DarkIsNucleus()
    usual = wn.segment(tissue, mpp=0.25, model=double_model, engine=engine)
    assert usual.doubts == ()
    coarse = wn.segment(tissue, mpp=0.6, model=double_model, engine=engine)
    assert [doubt.kind for doubt in coarse.doubts] == ["nucleus-size"]
    assert "nucleus-size" not in repr(coarse)
    assert "the median nucleus has" in coarse._repr_html_()
