"""The generator: what it writes is a slide, and what it says about its nuclei is true."""

import sys
from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon

from sample_slides.__main__ import main
from sample_slides.scene import Scene, whole
from sample_slides.tiff import Format, write_slide
from sample_slides.truth import read_truth, write_truth
from wsi_nucssl.geometry import Box, Size

SCENE = Scene(Size(1100, 1050), seed=3)
SAMPLE = Path(__file__).parents[2] / "sample_slides" / "sample.svs"


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return SCENE.render(whole(SCENE.size))


@pytest.mark.parametrize(("kind", "vendor"), [("svs", "aperio"), ("tiff", "generic-tiff")])
def test_openslide_reads_what_was_asked_for(
    kind: Format, vendor: str, tmp_path: Path, pixels: np.ndarray
) -> None:
    path = tmp_path / f"slide.{kind}"
    write_slide(SCENE, path, kind=kind)
    with openslide.OpenSlide(path) as slide:
        assert openslide.OpenSlide.detect_format(path) == vendor
        assert slide.level_dimensions == ((1100, 1050), (275, 262))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.25)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.25)
        read = np.asarray(slide.read_region((0, 0), 0, (1100, 1050)).convert("RGB"))
        low = np.asarray(slide.read_region((0, 0), 1, (275, 262)).convert("RGB"))
    assert np.abs(read.astype(int) - pixels).mean() < 8
    reduced = cv2.resize(pixels[:1048], (275, 262), interpolation=cv2.INTER_AREA)
    assert np.abs(low.astype(int) - reduced).mean() < 8


def test_a_seed_fixes_every_byte(tmp_path: Path) -> None:
    first, again, other = tmp_path / "a.svs", tmp_path / "b.svs", tmp_path / "c.svs"
    write_slide(Scene(Size(700, 500), seed=5), first)
    write_slide(Scene(Size(700, 500), seed=5), again)
    write_slide(Scene(Size(700, 500), seed=6), other)
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1050), st.integers(0, 1000), st.integers(1, 180), st.integers(1, 180))
def test_a_part_equals_that_part_of_the_whole(
    pixels: np.ndarray, x: int, y: int, width: int, height: int
) -> None:
    box = Box(x, y, x + width, y + height).clip(whole(SCENE.size))
    np.testing.assert_array_equal(SCENE.render(box), pixels[box.rc])


def test_nuclei_are_the_same_whichever_part_is_asked_for() -> None:
    together = {polygon.tobytes() for polygon in SCENE.polygons(whole(SCENE.size))}
    parts = [Box(0, 0, 1100, 333), Box(0, 333, 500, 1050), Box(500, 333, 1100, 1050)]
    apart = [polygon.tobytes() for part in parts for polygon in SCENE.polygons(part)]
    assert len(apart) == len(together)
    assert set(apart) == together


def test_truth_agrees_with_the_pixels(pixels: np.ndarray) -> None:
    polygons = list(SCENE.polygons(whole(SCENE.size)))
    assert len(polygons) > 150
    inside = np.zeros(SCENE.size.shape_rc, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(inside, [np.round(polygon - 0.5).astype(np.int32)], 1)
    ring = cv2.dilate(inside, np.ones((9, 9))) - cv2.dilate(inside, np.ones((3, 3)))
    nuclei, around = pixels[inside == 1].mean(0), pixels[ring == 1].mean(0)
    assert (nuclei < around - 20).all()
    assert nuclei[2] - nuclei[0] > 5 + around[2] - around[0]


def test_nuclei_touch_but_do_not_overlap() -> None:
    shapes = [Polygon(polygon) for polygon in SCENE.polygons(whole(SCENE.size))]
    assert all(shape.is_valid and shape.area > 20 for shape in shapes)
    total = sum(shape.area for shape in shapes)
    shared = sum(
        one.intersection(other).area
        for n, one in enumerate(shapes)
        for other in shapes[:n]
        if one.intersects(other)
    )
    assert shared < 0.002 * total


def test_truth_file_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "truth.geojson.gz"
    count = write_truth(SCENE, path)
    written = read_truth(path)
    expected = list(SCENE.polygons(whole(SCENE.size)))
    assert len(written) == len(expected) == count
    for one, other in zip(written, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=0.0051)


def test_mpp_scales_the_nuclei_with_it() -> None:
    fine = [Polygon(p).area for p in Scene(Size(800, 800), 3, 0.25).polygons(Box(0, 0, 800, 800))]
    coarse = [Polygon(p).area for p in Scene(Size(400, 400), 3, 0.5).polygons(Box(0, 0, 400, 400))]
    np.testing.assert_allclose(np.array(coarse) * 4, fine)


@pytest.mark.parametrize("wrong", [["--width", "0"], ["--height", "-5"], ["--mpp", "0"], ["--mpp", "nan"]])
def test_wrong_calls(
    wrong: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sample_slides", str(tmp_path / "x.svs"), *wrong])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_committed_sample_is_what_its_command_makes() -> None:
    """`python -m sample_slides sample_slides/sample.svs --truth sample_slides/sample_truth.geojson.gz`."""
    scene = Scene(Size(3000, 2400), seed=3)
    with openslide.OpenSlide(SAMPLE) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        stored = np.asarray(slide.read_region((1200, 900), 0, (256, 256)).convert("RGB"))
    drawn = scene.render(Box(1200, 900, 1456, 1156))
    assert np.abs(stored.astype(int) - drawn).mean() < 8
    truth = read_truth(SAMPLE.with_name("sample_truth.geojson.gz"))
    assert len(truth) == sum(1 for _ in scene.polygons(whole(scene.size)))
