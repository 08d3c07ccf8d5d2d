"""A region in memory has the nuclei of the whole slide's run that are seeded in it, to the last byte."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.segment import fakes
from wsi_nucssl.errors import MissingMpp, UsageError
from wsi_nucssl.geometry import Box
from wsi_nucssl.models.weights import Model
from wsi_nucssl.result import Result
from wsi_nucssl.segment.images import segment_image
from wsi_nucssl.segment.region import segment
from wsi_nucssl.segment.region import segment as in_memory
from wsi_nucssl.slide import RGB, open_slide

few = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))


def _features(path: Path) -> list[bytes]:
    """The Features of one of our files, as it has them: one a line."""
    return [line.rstrip(b",") for line in path.read_bytes().splitlines()[1:-1]]


def _ids(lines: list[bytes]) -> list[str]:
    return [re.search(rb'"id":"([^"]+)"', line)[1].decode() for line in lines]  # type: ignore[index]


@pytest.fixture(scope="module")
def engine() -> fakes.DarkIsNucleus:
    return fakes.DarkIsNucleus()


@pytest.fixture(scope="module")
def whole(sample: Path, double_model: Model, engine: fakes.DarkIsNucleus) -> Result:
    return segment(sample, model=double_model, engine=engine)


@pytest.fixture
def run(sample: Path, tmp_path: Path, segment: Callable[..., Any]) -> Callable[..., list[bytes]]:
    """The Features that `segment_slide` writes."""

    def features(**options: Any) -> list[bytes]:
        segment(sample, tmp_path / "run.geojson", **options)
        return _features(tmp_path / "run.geojson")

    return features


def test_a_whole_slide_in_memory_is_its_run(
    whole: Result, run: Callable[..., list[bytes]], tmp_path: Path
) -> None:
    lines = run()
    assert _features(whole.to_geojson(tmp_path / "face.geojson")) == lines
    assert [*whole.ids] == _ids(lines)
    assert len(lines) > 1000


@pytest.mark.parametrize(
    "options", [{}, {"mpp": 0.25, "force_mpp": True, "tissue": "none", "origin": "level0"}]
)
def test_a_header_in_memory_says_what_that_of_the_run_says(
    tissue: RGB,
    double_model: Model,
    segment: Callable[..., Any],
    tmp_path: Path,
    options: dict[str, Any],
) -> None:
    slide = fakes.write_slide(tmp_path / "slide.tif", tissue[:300, :400])
    output = segment(slide, tmp_path / "run.geojson", **options).output
    written = json.loads(output.read_bytes())["wsi_nucssl"]
    found = in_memory(slide, model=double_model, engine=fakes.DarkIsNucleus(), **options).header
    plain = json.loads(json.dumps(dict(found)))
    shared = {*plain} & {*written}
    assert {name: plain[name] for name in shared} == {name: written[name] for name in shared}
    assert {"slide", "slide_mpp", "mpp_source", "instances", "batch_size", "origin"} <= shared
    assert plain.get("force_mpp") == written.get("force_mpp") == (True if options else None)
    assert plain.get("tissue") == options.get("tissue")


def test_tissue_by_another_way_in_memory_is_that_of_the_run(
    sample: Path,
    double_model: Model,
    engine: fakes.DarkIsNucleus,
    run: Callable[..., list[bytes]],
    tmp_path: Path,
) -> None:
    region = (0, 0, 900, 700)
    lines = run(tissue="none")
    found = segment(sample, model=double_model, engine=engine, tissue="none", region=region)
    usual = segment(sample, model=double_model, engine=engine, region=region)
    assert {*_features(found.to_geojson(tmp_path / "found.geojson"))} <= {*lines}
    assert found.header["tissue"] == "none"
    assert "tissue" not in usual.header
    assert len(found) >= len(usual)
    with pytest.raises(UsageError, match="neither a file nor a way"):
        segment(sample, model=double_model, engine=engine, tissue="nowhere")


@few
@given(
    x=st.integers(-100, 2900),
    y=st.integers(-100, 2300),
    width=st.integers(1, 1400),
    height=st.integers(1, 900),
)
def test_a_region_has_the_nuclei_seeded_in_it(
    sample: Path,
    double_model: Model,
    engine: fakes.DarkIsNucleus,
    whole: Result,
    tmp_path_factory: pytest.TempPathFactory,
    x: int,
    y: int,
    width: int,
    height: int,
) -> None:
    region = (x, y, max(width, 150), max(height, 150))
    box = Box.parse(region)
    part = segment(sample, model=double_model, engine=engine, region=region)
    seeds = whole._features.nuclei.seed_xy  # type: ignore[attr-defined]
    inside = [box.x0 <= col < box.x1 and box.y0 <= row < box.y1 for col, row in seeds]
    folder = tmp_path_factory.mktemp("region")
    wanted = _features(whole[np.array(inside)].to_geojson(folder / "wanted.geojson"))
    assert _features(part.to_geojson(folder / "part.geojson")) == wanted


def test_regions_side_by_side_share_no_nucleus_and_miss_none(
    sample: Path, either_model: Model, tmp_path: Path
) -> None:
    engine = fakes.DarkIsNucleus(upscale=either_model.info.upscale)
    found = [
        segment(sample, model=either_model, engine=engine, region=(x, y, 333, 251))
        for y in (700, 951)
        for x in (900, 1233)
    ]
    both = segment(sample, model=either_model, engine=engine, region=(900, 700, 666, 502))
    lines = [
        line
        for part in found
        for line in _features(part.to_geojson(tmp_path / "part.geojson", overwrite=True))
    ]
    assert sorted(lines) == sorted(_features(both.to_geojson(tmp_path / "both.geojson")))
    assert len(both) > 50


def test_a_region_at_another_scale_is_that_of_the_run(
    tmp_path: Path, double_model: Model, tissue: RGB
) -> None:
    """On a slide whose px are no whole multiple of the network's."""
    from wsi_nucssl.segment.options import SegmentOptions
    from wsi_nucssl.segment.run import segment_slide

    slide = fakes.write_slide(tmp_path / "odd.tif", tissue, mpp=0.31)
    engine = fakes.DarkIsNucleus()
    segment_slide(slide, tmp_path / "run.geojson", double_model, SegmentOptions(), engine=engine)
    lines = _features(tmp_path / "run.geojson")
    part = segment(slide, model=double_model, engine=engine, region=(201, 155, 400, 299))
    got = _features(part.to_geojson(tmp_path / "part.geojson"))
    assert set(got) < set(lines)
    assert got == [line for line in lines if line in set(got)]
    centres = part.table[["centroid_x_px", "centroid_y_px"]].to_numpy()
    assert len(part) > 20
    assert (np.abs(centres - [401, 304.5]) <= [200 + 40, 149.5 + 40]).all()


def test_only_windows_around_the_region_are_predicted(sample: Path, double_model: Model) -> None:
    seen: list[int] = []
    segment(
        sample,
        model=double_model,
        engine=fakes.DarkIsNucleus(),
        region=(200, 200, 300, 300),
        on_windows=seen.append,
    )
    assert seen == [1]


def test_an_image_is_segmented_as_by_segment_image(double_model: Model, tissue: RGB) -> None:
    engine = fakes.DarkIsNucleus()
    for mpp in (0.25, 0.4):
        result = segment(tissue, mpp=mpp, model=double_model, engine=engine)
        labels = segment_image(engine, tissue, double_model.info.instances, scale=0.25 / mpp)
        assert np.array_equal(result.labels, labels)
        assert len(result) == labels.max() > 50


def test_a_region_of_an_image_has_the_nuclei_seeded_in_it(double_model: Model, tissue: RGB) -> None:
    engine = fakes.DarkIsNucleus()
    whole = segment(tissue, mpp=0.25, model=double_model, engine=engine)
    part = segment(tissue, mpp=0.25, model=double_model, engine=engine, region=(100, 50, 400, 300))
    x, y = whole._features.nuclei.seed_xy.T  # type: ignore[attr-defined]
    assert [*part.ids] == [*whole.ids[(x >= 100) & (x < 500) & (y >= 50) & (y < 350)]]
    assert part.labels.shape == (300, 400)
    assert not (part.labels[whole.labels[50:350, 100:500] == 0]).any()


def test_an_open_slide_stays_open(sample: Path, double_model: Model) -> None:
    with open_slide(sample) as slide:
        result = segment(slide, model=double_model, engine=fakes.DarkIsNucleus(), region=(600, 600, 300, 300))
        assert slide.read((0, 0, 2, 2)).shape == (2, 2, 3)
        with pytest.raises(UsageError, match="`mpp`"):
            segment(slide, mpp=0.25, model=double_model, engine=fakes.DarkIsNucleus())
    again = pickle.loads(pickle.dumps(result))
    assert np.array_equal(again.labels, result.labels)
    assert again.picture is not None
    assert result.picture is not None
    assert np.array_equal(
        again.picture.read(again.frame.region, 100), result.picture.read(result.frame.region, 100)
    )


def test_origin_moves_files_and_nothing_else(double_model: Model, tissue: RGB, tmp_path: Path) -> None:
    path = fakes.write_slide(tmp_path / "slide.tif", tissue)
    with open_slide(path) as slide:
        bounded: Any = fakes.WithBounds(slide, Box(40, 30, 900, 800))
        found = {
            origin: segment(bounded, model=double_model, engine=fakes.DarkIsNucleus(), origin=origin)
            for origin in ("qupath", "level0")
        }
    one, other = found["qupath"], found["level0"]
    assert one.table.equals(other.table)
    moved = one.features[0]["geometry"]["coordinates"][0][0]
    assert other.features[0]["geometry"]["coordinates"][0][0] == [moved[0] + 40, moved[1] + 30]


@pytest.mark.parametrize(
    ("source", "options", "fault"),
    [
        ("sample", {"region": (0, 0, 5)}, "`region`"),
        ("sample", {"region": (9000, 0, 5, 5)}, "outside the slide"),
        ("sample", {"origin": "foo"}, "`origin`"),
        ("sample", {"mpp": float("nan")}, "`mpp`"),
        (np.zeros((9, 9, 3), np.uint8), {}, "`mpp`"),
        (np.zeros((9, 9, 4), np.uint8), {"mpp": 0.25}, "RGB"),
        (np.zeros((9, 9, 3), np.float32), {"mpp": 0.25}, "uint8"),
        (np.zeros((0, 9, 3), np.uint8), {"mpp": 0.25}, "RGB"),
    ],
)
def test_what_makes_no_sense_is_refused(
    sample: Path, double_model: Model, source: Any, options: dict[str, Any], fault: str
) -> None:
    with pytest.raises(UsageError, match=fault):
        segment(
            sample if isinstance(source, str) else source,
            model=double_model,
            engine=fakes.DarkIsNucleus(),
            **options,
        )


def test_a_slide_without_mpp_names_the_remedy(double_model: Model, tcga_slide: Path) -> None:
    with pytest.raises(MissingMpp, match="`mpp`"):
        segment(tcga_slide, model=double_model, engine=fakes.DarkIsNucleus())


@pytest.mark.parametrize("value", [0, 128])
def test_fill_around_the_tissue_neither_adds_nor_loses_nuclei(
    sample: Path, tmp_path: Path, value: int
) -> None:
    with open_slide(sample) as slide:
        tissue = slide.read_level(0, Box(1300, 1100, 1684, 1420))
    found = []
    for number in (255, value):
        sheet = np.full((640, 704, 3), number, np.uint8)
        sheet[160:480, 160:544] = tissue
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(
            path, sheet, photometric="rgb", tile=(256, 256), compression="deflate", metadata=None
        )
        found.append(segment(path, mpp=0.25).labels)
    assert found[0].max() > 20
    assert np.array_equal(found[0], found[1])
