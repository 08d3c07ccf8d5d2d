"""Regions through `segment_slide`: the nuclei of the whole slide's run whose seeds lie in them, at little cost."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import mapping

from tests.segment import fakes
from tests.segment.features import read_features
from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.errors import InputError, OutputExists, RunMismatch, SlideError, UsageError
from wsi_nucssl.geometry import Box, Mpp, Point
from wsi_nucssl.models.weights import Model
from wsi_nucssl.report.slide_report import SlideReport
from wsi_nucssl.result import Result
from wsi_nucssl.segment.executor import SlideProgress
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.plan import make_plan, narrowed
from wsi_nucssl.segment.region import segment as in_memory
from wsi_nucssl.segment.reporting import report_path
from wsi_nucssl.segment.run import Steps, segment_slide
from wsi_nucssl.segment.summary import KEPT, SegmentSummary
from wsi_nucssl.slide import RGB, Canvas, TissueMask, open_slide
from wsi_nucssl.slide.roi_reading import roi_of

Segment = Callable[..., SegmentSummary]
SMALL = Steps(make_plan=partial(make_plan, core=192))
few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


def write(path: Path, *shapes: Any, kind: str = "") -> Path:
    """Regions as QuPath exports them."""
    properties = {"objectType": "annotation", **({"classification": {"name": kind}} if kind else {})}
    features = [{"type": "Feature", "geometry": mapping(shape), "properties": properties} for shape in shapes]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def lines(path: Path) -> list[bytes]:
    """The Features of one of our files, as it has them: one a line."""
    return [line.rstrip(b",") for line in path.read_bytes().splitlines()[1:-1]]


def header(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())["wsi_nucssl"]
    return found


@pytest.fixture(scope="module")
def slide(tissue: RGB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of px that are no whole multiple of the network's."""
    return fakes.write_slide(tmp_path_factory.mktemp("slide") / "tissue.tif", tissue, mpp=0.31)


@pytest.fixture(scope="module")
def whole(
    slide: Path, double_model: Model, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, list[bytes]]:
    """The Features of the whole slide's run, by the side of blocks."""
    folder = tmp_path_factory.mktemp("whole")
    for block in (256, 501):
        output = folder / f"{block}.geojson"
        segment_slide(
            slide,
            output,
            double_model,
            SegmentOptions(block_px=block),
            engine=fakes.DarkIsNucleus(),
            steps=SMALL,
        )
    return {block: lines(folder / f"{block}.geojson") for block in (256, 501)}


@pytest.fixture(scope="module")
def seeds(slide: Path, double_model: Model) -> dict[str, tuple[float, float]]:
    """The centre of each nucleus's seed in level-0 px, by its id."""
    result = in_memory(slide, model=double_model, engine=fakes.DarkIsNucleus())
    centres = (result._features.nuclei.seed_xy + 0.5) * (0.25 / 0.31)  # type: ignore[attr-defined]
    return dict(zip(result.ids, map(tuple, centres.tolist()), strict=True))


def subset(features: list[bytes], seeds: dict[str, tuple[float, float]], shape: Any) -> list[bytes]:
    """Those whose seeds lie in a shape, by shapely."""
    return [line for line in features if shapely.contains_xy(shape, *seeds[json.loads(line)["id"]])]


@st.composite
def shapes(draw: st.DrawFn) -> list[Any]:
    """One to three regions that lie beside, in and over each other, some with holes, some beyond the slide."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found = []
    for _ in range(draw(st.integers(1, 3))):
        disc = shapely.Point(*rng.uniform([100, 100], [1000, 800])).buffer(rng.uniform(25, 300), 5)
        hole = shapely.Point(*rng.uniform([100, 100], [1000, 800])).buffer(rng.uniform(10, 90), 3)
        found.append(shapely.difference(disc, hole) if draw(st.booleans()) else disc)
    return found


@few
@given(shapes(), st.sampled_from([256, 501]), st.sampled_from([1, 3]))
def test_nuclei_are_those_of_the_whole_run_by_the_rule(
    slide: Path,
    whole: dict[int, list[bytes]],
    seeds: dict[str, tuple[float, float]],
    double_model: Model,
    tmp_path_factory: pytest.TempPathFactory,
    regions: list[Any],
    block: int,
    workers: int,
) -> None:
    folder = tmp_path_factory.mktemp("roi")
    options = SegmentOptions(block_px=block, workers=workers, roi=write(folder / "r.geojson", *regions))
    summary = segment_slide(
        slide, folder / "n.geojson", double_model, options, engine=fakes.DarkIsNucleus(), steps=SMALL
    )
    wanted = subset(whole[block], seeds, shapely.union_all(regions))
    assert lines(folder / "n.geojson") == wanted
    assert summary.nuclei == len(wanted)


def test_in_memory_they_are_the_same_and_a_region_takes_its_part(
    slide: Path,
    whole: dict[int, list[bytes]],
    seeds: dict[str, tuple[float, float]],
    double_model: Model,
    tmp_path: Path,
) -> None:
    ring = shapely.difference(shapely.Point(500, 400).buffer(250), shapely.Point(450, 400).buffer(100))
    roi = write(tmp_path / "r.geojson", ring, kind="Tumor")

    def found(**how: Any) -> Result:
        return in_memory(slide, model=double_model, engine=fakes.DarkIsNucleus(), roi=roi, **how)

    wanted = set(subset(whole[256], seeds, ring))
    every = found(roi_class="Tumor")
    assert set(lines(every.to_geojson(tmp_path / "a.geojson"))) == wanted
    assert len(wanted) > 50
    assert every.frame.region == Box(250, 150, 750, 650)
    assert len(every.header["roi"]["sha256"]) == 64
    half = found(region=(0, 0, 500, 900))
    within = set(lines(half.to_geojson(tmp_path / "b.geojson")))
    left = set(subset(whole[256], seeds, shapely.intersection(ring, shapely.box(0, 0, 499, 900))))
    assert left <= within < wanted
    assert len(within - left) < 10  # a region takes px that it covers in part


def test_in_an_image_they_are_those_of_the_whole_image(
    double_model: Model, tissue: RGB, tmp_path: Path
) -> None:
    disc = shapely.Point(480, 410).buffer(200)
    roi = write(tmp_path / "r.geojson", disc)
    whole, part = (
        in_memory(tissue, mpp=0.25, model=double_model, engine=fakes.DarkIsNucleus(), roi=each)
        for each in (None, roi)
    )
    inside = shapely.contains_xy(disc, whole._features.nuclei.seed_xy + 0.5)  # type: ignore[attr-defined]
    assert [*part.ids] == [*whole.ids[inside]]
    assert 20 < len(part) < len(whole)
    with pytest.raises(InputError, match="lies off the slide"):
        in_memory(tissue[:100, :100], mpp=0.25, model=double_model, engine=fakes.DarkIsNucleus(), roi=roi)


class Counting(fakes.DarkIsNucleus):
    """Counts the windows that hold anything; a batch is filled up with others."""

    count = 0

    def predict(self, windows: Windows) -> BodyBoundary:
        type(self).count += len(windows)
        return fakes.DarkIsNucleus.predict(self, windows)


def test_a_small_region_costs_the_windows_around_it(
    sample: Path, tmp_path: Path, double_model: Model
) -> None:
    """In cores of 192 px: 128 px around 60 px touch nine of them."""
    box = shapely.box(1450, 1250, 1510, 1310)
    for side, shape in ((3, box), (17, shapely.box(900, 700, 3000, 2400))):
        Counting.count = 0
        seen: list[SlideProgress] = []
        segment_slide(
            sample,
            tmp_path / f"{side}.geojson",
            double_model,
            SegmentOptions(batch_size=1, roi=write(tmp_path / "r.geojson", shape)),
            engine=Counting(),
            steps=SMALL,
            on_progress=seen.append,
        )
        assert Counting.count == seen[-1].windows == seen[-1].windows_done
        assert Counting.count <= side**2
        assert seen[-1].blocks == seen[-1].blocks_done
    assert Counting.count > 9


@pytest.fixture
def band(tmp_path: Path) -> Path:
    """A dark band down a slide, 1400 px long, and nuclei beside it."""
    rng = np.random.default_rng(5)
    image = np.array([200, 130, 170], np.uint8) + rng.integers(0, 30, (1500, 700, 3), np.uint8)
    image[40:1460, 60:110] = 90, 50, 130
    for x, y in rng.integers(150, 640, (60, 2)):
        cv2.circle(image, (int(x), int(y)), 9, (60, 40, 120), -1)
    return fakes.write_slide(tmp_path / "band.tif", image)


def test_a_nucleus_that_reaches_far_beyond_its_region_has_more_windows_predicted(
    segment: Segment, band: Path, tmp_path: Path
) -> None:
    """And only then: the band's seed is its upper end; a region on its middle holds none of it."""
    whole = lines(segment(band, tmp_path / "whole.geojson", block_px=256, steps=SMALL).output)
    at_end = write(tmp_path / "end.geojson", shapely.box(50, 30, 120, 60))
    for workers in (1, 4):
        output = tmp_path / f"{workers}.geojson"
        segment(band, output, block_px=256, workers=workers, roi=at_end, steps=SMALL)
        (feature,) = read_features(output)
        assert shapely.geometry.shape(feature["geometry"]).bounds[3] > 1450
        assert lines(output) == [line for line in whole if json.loads(line)["id"] == feature["id"]]
    middle = write(tmp_path / "middle.geojson", shapely.box(50, 700, 120, 760))
    assert segment(band, tmp_path / "m.geojson", block_px=256, roi=middle, steps=SMALL).nuclei == 0


def test_what_was_predicted_is_kept_and_nothing_else(segment: Segment, band: Path, tmp_path: Path) -> None:
    roi = write(tmp_path / "r.geojson", shapely.box(200, 200, 260, 260))
    for name, how in (("part", {"roi": roi}), ("whole", {})):
        segment(band, tmp_path / f"{name}.geojson", keep_probabilities=True, steps=SMALL, **how)
    part, whole = (
        np.asarray(zarr.open_array(tmp_path / f"{name}.geojson.run" / KEPT, mode="r")[:])
        for name in ("part", "whole")
    )
    near = np.s_[:, 200:260, 200:260]
    assert np.array_equal(part[near], whole[near])
    assert whole[:, 900:].any()
    assert not part[:, 900:].any()


def test_another_region_is_another_run(segment: Segment, slide: Path, tmp_path: Path) -> None:
    one = write(tmp_path / "one.geojson", shapely.box(200, 200, 500, 500))
    output = tmp_path / "n.geojson"
    first = segment(slide, output, roi=one)
    assert header(output)["roi"]["rule"] == "centre of the seed"
    assert segment(slide, output, roi=one, resume=True).earlier
    write(one, shapely.box(200, 200, 500, 500), kind="renamed")
    assert segment(slide, output, roi=one, resume=True).earlier
    write(one, shapely.box(200, 200, 500, 501))
    for roi in (one, None):
        with pytest.raises(RunMismatch, match="roi"):
            segment(slide, output, roi=roi, resume=True)
    assert segment(slide, output, roi=one, overwrite=True).nuclei >= first.nuclei


def test_a_run_that_died_goes_on_to_the_same_bytes(
    segment: Segment, band: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of the windows that a long nucleus asked for."""
    roi = write(tmp_path / "r.geojson", shapely.box(50, 30, 120, 60), shapely.box(300, 300, 500, 500))
    segment(band, tmp_path / "plain.geojson", roi=roi, steps=SMALL, block_px=256)
    with open_slide(band) as slide:
        canvas, everywhere = Canvas(slide, Mpp.square(0.25)), TissueMask.everywhere(slide)
        plan = narrowed(make_plan(canvas, everywhere, core=192, block_px=256), roi_of(slide, roi))
    output = tmp_path / "n.geojson"
    predict = fakes.DarkIsNucleus.predict
    seen: list[int] = []

    def dies(engine: fakes.DarkIsNucleus, windows: Windows) -> BodyBoundary:
        seen.append(len(windows))
        if len(seen) == len(plan.selected) + 3:
            raise MemoryError
        return predict(engine, windows)

    monkeypatch.setattr(fakes.DarkIsNucleus, "predict", dies)
    with pytest.raises(MemoryError):
        segment(band, output, roi=roi, steps=SMALL, block_px=256, batch_size=1)
    assert len(seen) < len(plan.selected) + len(plan.reserve)
    segment(band, output, roi=roi, steps=SMALL, block_px=256, batch_size=1, resume=True)
    monkeypatch.undo()
    assert lines(output) == lines(tmp_path / "plain.geojson")
    segment(band, tmp_path / "again.geojson", roi=roi, steps=SMALL, block_px=256, batch_size=1)
    assert output.read_bytes() == (tmp_path / "again.geojson").read_bytes()


@pytest.mark.parametrize("tissue", ["otsu", "none"])
def test_a_region_on_glass_ends_with_no_nucleus_and_says_so(
    segment: Segment, sample: Path, tmp_path: Path, tissue: str
) -> None:
    roi = write(tmp_path / "r.geojson", shapely.box(5, 5, 105, 105))
    output = tmp_path / "n.geojson"
    summary = segment(sample, output, roi=roi, tissue=tissue)
    assert summary.nuclei == 0
    assert read_features(output) == []
    assert [doubt.kind for doubt in summary.doubts] == (["no-tissue-in-roi"] if tissue == "otsu" else [])
    if tissue == "otsu":
        assert "r.geojson" in summary.doubts[0].what
        with pytest.raises(SlideError, match="hold no tissue"):
            segment(sample, tmp_path / "s.geojson", roi=roi, strict=True)


def test_nuclei_are_counted_per_mm2_of_tissue_in_the_regions(
    segment: Segment, sample: Path, tmp_path: Path
) -> None:
    box = shapely.box(1000, 1000, 1400, 1300)
    summary = segment(sample, tmp_path / "n.geojson", roi=write(tmp_path / "r.geojson", box), tissue="none")
    assert summary.tissue_mm2 == pytest.approx(box.area * 0.25**2 / 1e6, rel=5e-3)
    assert summary.per_mm2 == pytest.approx(summary.nuclei / summary.tissue_mm2)
    assert summary.nuclei > 20


def test_the_page_says_that_there_were_regions(segment: Segment, slide: Path, tmp_path: Path) -> None:
    roi = write(tmp_path / "r.geojson", shapely.box(200, 200, 600, 600))
    steps = Steps(report=SlideReport)
    pages = [
        report_path(segment(slide, tmp_path / f"{name}.geojson", steps=steps, roi=each).output).read_text()
        for name, each in (("part", roi), ("whole", None))
    ]
    assert ["tissue in the regions" in page for page in pages] == [True, False]
    assert header(tmp_path / "part.geojson")["roi"]["sha256"][:12] in pages[0]
    places = re.findall(r'class="place">x (\d+), y (\d+)', pages[0])
    assert len(places) == 9
    half = 80 / 0.31 / 2  # a place is the corner of a picture of 80 µm
    beyond = 60  # a nucleus whose seed lies in a region has its middle a little outside at most
    assert all(200 - beyond <= int(side) + half <= 600 + beyond for place in places for side in place)


def test_regions_count_from_the_bounds(segment: Segment, sample: Path, tmp_path: Path) -> None:
    bounds = Box(120, 75, 2900, 2300)
    steps = Steps(open_slide=lambda path, **how: fakes.WithBounds(open_slide(path, **how), bounds))
    at = Point(900, 800)
    moved = write(tmp_path / "m.geojson", shapely.box(at.x - 120, at.y - 75, at.x + 180, at.y + 225))
    plain = write(tmp_path / "p.geojson", shapely.box(at.x, at.y, at.x + 300, at.y + 300))
    one = read_features(segment(sample, tmp_path / "a.geojson", roi=moved, steps=steps).output)
    other = read_features(segment(sample, tmp_path / "b.geojson", roi=plain).output)
    assert [each["id"] for each in one] == [each["id"] for each in other] != []


def test_no_output_replaces_the_regions(segment: Segment, slide: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copy(slide, tmp_path / "x.tif"))
    roi = write(tmp_path / "x.geojson", shapely.box(200, 200, 500, 500))
    before = roi.read_bytes()
    for how in ({"roi": roi}, {"roi": tmp_path}):
        with pytest.raises(OutputExists, match="input"):
            segment(mine, roi, overwrite=True, **how)
    assert roi.read_bytes() == before


def test_classes_without_regions_make_no_sense() -> None:
    with pytest.raises(UsageError, match="`roi_class`"):
        SegmentOptions(roi_class=("Tumor",))
    with pytest.raises(UsageError, match="class of annotations"):
        SegmentOptions(roi=Path("r.geojson"), roi_class=("Tumor", ""))
    assert SegmentOptions(roi=Path("r.geojson"), roi_class="Tumor, Stroma").roi_class == ("Tumor", "Stroma")
