"""Whole slides through `segment_slide`: neither block size nor worker count shows, and nuclei lie where they are."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from tests.pictures import read_rgb
from tests.segment import fakes
from tests.segment.features import Feature, read_features
from wsi_nucssl.export.base import ExportContext, Exporter, WriteNuclei
from wsi_nucssl.geometry import Box
from wsi_nucssl.models.weights import Model
from wsi_nucssl.nuclei.settings import Probabilities
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.segment.executor import SlideProgress, SlideWork, run_in_threads
from wsi_nucssl.segment.plan import Plan, make_plan
from wsi_nucssl.segment.probabilities import NotPredicted, ProbabilityStore
from wsi_nucssl.segment.run import Steps
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.slide import RGB, Canvas, TissueMask, open_slide

Segment = Callable[..., SegmentSummary]

AT_TWICE_THE_MPP = pytest.mark.parametrize(
    "either_model", ["liteunet0x2", pytest.param("resunet18", marks=pytest.mark.slow)], indirect=True
)
"""Of a network that answers at the mpp that it sees, only `-m slow` asks."""


def polygons(features: list[Feature]) -> NDArray[Any]:
    return np.array([shapely.geometry.shape(feature["geometry"]) for feature in features])


def offsets_to_truth(found: NDArray[Any], truth: list[Any]) -> NDArray[np.float64]:
    """(n, 2) from the centroid of each true nucleus to that of the found one that covers it with IoU > 0.5."""
    true = np.array([shapely.Polygon(outline) for outline in truth])
    true_index, found_index = shapely.STRtree(found).query(true, predicate="intersects")
    overlap = shapely.area(shapely.intersection(true[true_index], found[found_index]))
    union = shapely.area(true[true_index]) + shapely.area(found[found_index]) - overlap
    same = overlap / union > 0.5
    ends = (
        shapely.get_coordinates(shapely.centroid(side))
        for side in (true[true_index[same]], found[found_index[same]])
    )
    begin, end = ends
    return np.asarray(end - begin, np.float64)


def test_nuclei_lie_on_nuclei(
    segment: Segment, either_model: Model, sample: Path, truth: list[Any], tmp_path: Path
) -> None:
    summary = segment(sample, tmp_path / "n.geojson", model=either_model)
    found = polygons(read_features(summary.output))
    assert summary.nuclei == len(found)
    offsets = offsets_to_truth(found, truth)
    assert len(offsets) > 0.5 * len(truth)
    assert len(offsets) > 0.7 * len(found)
    assert np.abs(offsets.mean(axis=0)).max() < 0.15
    assert summary.seams.truncated == 0
    assert summary.seams.crossing > 20


@AT_TWICE_THE_MPP
def test_worker_count_does_not_change_a_byte(
    segment: Segment, either_model: Model, sample: Path, tmp_path: Path
) -> None:
    written = {
        workers: segment(
            sample, tmp_path / f"{workers}.geojson", model=either_model, workers=workers, block_px=500
        ).output
        for workers in (1, 2, 8)
    }
    assert len({path.read_bytes() for path in written.values()}) == 1


@AT_TWICE_THE_MPP
def test_block_size_does_not_change_a_feature(
    segment: Segment, either_model: Model, sample: Path, tmp_path: Path
) -> None:
    whole = read_features(
        segment(sample, tmp_path / "whole.geojson", model=either_model, block_px=4000).output
    )
    assert len(whole) > 1000
    for block in (256, 501, 1000):
        blocks = segment(sample, tmp_path / f"{block}.geojson", model=either_model, block_px=block)
        assert read_features(blocks.output) == whole


@pytest.mark.parametrize("number", [3, 21])
def test_real_tissue_anywhere_on_a_canvas(
    segment: Segment, monuseg: Path, tmp_path: Path, number: int
) -> None:
    image = read_rgb(sorted((monuseg / "images").glob("*.webp"))[number])
    left, top, right, bottom = np.random.default_rng(number).integers(0, 400, 4)
    canvas = np.pad(image, ((top, bottom), (left, right), (0, 0)), constant_values=255)
    slide = fakes.write_slide(tmp_path / "canvas.tif", canvas)
    whole = read_features(segment(slide, tmp_path / "whole.geojson", block_px=4000).output)
    assert len(whole) > 200
    inside = shapely.box(left, top, left + 1000, top + 1000)
    assert shapely.covers(inside, polygons(whole)).all()
    for block in (256, 500, 1000):
        blocks = segment(slide, tmp_path / f"{block}.geojson", block_px=block)
        assert read_features(blocks.output) == whole


def test_origin_is_the_bounds_or_level_0(segment: Segment, sample: Path, tmp_path: Path) -> None:
    bounds = Box(120, 75, 2900, 2300)
    steps = Steps(open_slide=lambda path, **how: fakes.WithBounds(open_slide(path, **how), bounds))
    as_qupath = read_features(segment(sample, tmp_path / "q.geojson", steps=steps).output)
    as_level0 = read_features(segment(sample, tmp_path / "l.geojson", origin="level0", steps=steps).output)
    moved = shapely.transform(polygons(as_qupath), lambda xy: np.add(xy, [120, 75]))
    assert shapely.equals_exact(moved, polygons(as_level0), 1e-9).all()
    assert [f["id"] for f in as_qupath] == [f["id"] for f in as_level0]


def test_a_finer_level_0_scales_the_features(segment: Segment, tissue: RGB, tmp_path: Path) -> None:
    plain = fakes.write_slide(tmp_path / "plain.tif", tissue)
    finer = fakes.write_slide(
        tmp_path / "finer.tif", tissue.repeat(2, axis=0).repeat(2, axis=1), tissue, mpp=0.125
    )
    expected = read_features(segment(plain, tmp_path / "plain.geojson", block_px=4000).output)
    doubled = read_features(segment(finer, tmp_path / "finer.geojson", block_px=4000).output)
    assert {poly.wkt for poly in polygons(doubled)} == {
        poly.wkt for poly in shapely.transform(polygons(expected), lambda xy: xy * 2)
    }
    areas = [
        sorted(f["properties"]["measurements"]["Area µm^2"] for f in found) for found in (expected, doubled)
    ]
    assert areas[0] == areas[1]


def test_a_coarser_level_0_is_enlarged_in_place(segment: Segment, tissue: RGB, tmp_path: Path) -> None:
    """At 0.5 µm per px the canvas is twice as fine as level 0; nuclei stay where they are and grow fourfold in µm²."""
    slide = fakes.write_slide(tmp_path / "slide.tif", tissue)
    at_quarter = polygons(read_features(segment(slide, tmp_path / "a.geojson").output))
    features = read_features(segment(slide, tmp_path / "b.geojson", mpp=0.5, force_mpp=True).output)
    at_half = polygons(features)
    outlines = [shapely.get_coordinates(poly.exterior) for poly in at_quarter]
    offsets = offsets_to_truth(at_half, outlines)
    assert len(offsets) > 0.8 * len(outlines)
    assert np.abs(offsets.mean(axis=0)).max() < 0.15
    for feature, polygon in zip(features, at_half, strict=True):
        assert feature["properties"]["measurements"]["Area µm^2"] == pytest.approx(polygon.area / 4)


def test_a_slide_as_coarse_as_the_input_is_read_as_it_is(
    segment: Segment, tissue: RGB, tmp_path: Path
) -> None:
    """What a network of twice the mpp sees of a fine slide is what it sees of the level below, to the byte."""
    model = fakes.model("liteunet0x2")
    coarse = tissue[: 2 * (len(tissue) // 2)]
    fine = coarse.repeat(2, axis=0).repeat(2, axis=1)
    at_half = fakes.write_slide(tmp_path / "half.tif", coarse, mpp=0.5)
    at_quarter = fakes.write_slide(tmp_path / "quarter.tif", fine, coarse, mpp=0.25)
    expected = read_features(segment(at_half, tmp_path / "half.geojson", model=model).output)
    found = read_features(segment(at_quarter, tmp_path / "quarter.geojson", model=model).output)
    assert len(expected) > 100
    doubled = shapely.transform(polygons(expected), lambda xy: xy * 2)
    assert {poly.wkt for poly in polygons(found)} == {poly.wkt for poly in doubled}
    header = json.loads((tmp_path / "half.geojson").read_text())["wsi_nucssl"]
    assert (header["model_mpp"], header["input_mpp"], header["hematoxylin_mpp"]) == (0.25, 0.5, 0.5)
    measured = [
        sorted(feature["properties"]["measurements"]["Area µm^2"] for feature in features)
        for features in (expected, found)
    ]
    assert measured[0] == measured[1]


def small_windows(canvas: Canvas, tissue: TissueMask, **how: Any) -> Plan:
    return make_plan(canvas, tissue, core=192, **how)


@dataclass(frozen=True)
class NotedReads:
    """A store that takes note of each read that comes too early."""

    store: ProbabilityStore
    too_early: list[Box]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def read(self, box: Box) -> Probabilities:
        try:
            return self.store.read(box)
        except NotPredicted:
            self.too_early.append(box)
            raise


def test_a_nucleus_longer_than_what_is_predicted_so_far(segment: Segment, tmp_path: Path) -> None:
    """A dark band down the slide: its block must wait for windows far below, and the result is the same."""
    rng = np.random.default_rng(5)
    image = np.array([200, 130, 170], np.uint8) + rng.integers(0, 30, (1500, 700, 3), np.uint8)
    image[40:1460, 60:110] = 90, 50, 130
    image[700:740, 100:650] = 90, 50, 130
    for x, y in rng.integers(150, 640, (40, 2)):
        cv2.circle(image, (int(x), int(y)), 9, (60, 40, 120), -1)
    slide = fakes.write_slide(tmp_path / "band.tif", image)
    whole = read_features(segment(slide, tmp_path / "whole.geojson", block_px=4000).output)
    assert max(polygons(whole), key=shapely.area).bounds[3] > 1450

    too_early: list[Box] = []

    def watched(work: SlideWork, *words: Any, **how: Any) -> Generator[Nuclei, None, None]:
        store: Any = NotedReads(work.store, too_early)
        return run_in_threads(replace(work, store=store), *words, **how)

    for workers in (1, 4):
        output = tmp_path / f"{workers}.geojson"
        steps = Steps(make_plan=small_windows, execute=watched)
        segment(slide, output, block_px=256, workers=workers, steps=steps)
        assert read_features(output) == whole
    assert too_early


def test_nuclei_are_given_on_while_the_network_goes_on(
    segment: Segment, sample: Path, tmp_path: Path
) -> None:
    """The first block comes long before the last window; what comes is what is written."""
    made: list[SlideProgress] = []
    windows_done: list[int] = []

    def watched(work: SlideWork, progress: SlideProgress, **how: Any) -> Generator[Nuclei, None, None]:
        made.append(progress)
        for table in run_in_threads(work, progress, **how):
            windows_done.append(progress.windows_done)
            yield table

    steps = Steps(make_plan=small_windows, execute=watched)
    summary = segment(sample, tmp_path / "n.geojson", block_px=256, steps=steps)
    (progress,) = made
    assert progress.blocks == progress.blocks_done == len(windows_done)
    assert windows_done[0] < progress.windows / 2 < windows_done[-1] == progress.windows
    assert progress.nuclei == summary.nuclei


@contextmanager
def breaks(_: Path, __: ExportContext) -> Iterator[WriteNuclei]:
    def write(_: Nuclei) -> None:
        raise MemoryError

    yield write


def test_when_writing_fails_the_work_behind_it_ends_first(
    segment: Segment, sample: Path, tmp_path: Path
) -> None:
    """No thread still reads the slide or writes into the run when the next attempt may begin."""
    with open_slide(sample) as whole:
        part = fakes.write_slide(tmp_path / "part.tif", whole.read_level(0, Box(500, 500, 1500, 1500)))
    before = set(threading.enumerate())
    small, output = Steps(make_plan=small_windows), tmp_path / "n.geojson"
    with pytest.raises(MemoryError) as caught:
        segment(part, output, block_px=256, steps=replace(small, exporter=lambda _: Exporter(breaks)))
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPool")]
    assert not set(ours) - before
    assert caught.value.__traceback__ is not None  # it would keep a suspended generator alive
    segment(part, output, block_px=256, resume=True, steps=small)
    segment(part, tmp_path / "undisturbed.geojson", block_px=256, steps=small)
    assert (tmp_path / "n.geojson").read_bytes() == (tmp_path / "undisturbed.geojson").read_bytes()
