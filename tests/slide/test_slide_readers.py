"""One suite that every backend passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Mpp, Point, Size
from wsi_nucssl.slide import RGB, Slide, open_slide

quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
corner = st.integers(-150, 1000)
side = st.integers(0, 400)


def expected(level: RGB, box: Box) -> RGB:
    """What reading means, in the plainest way: a white plane with the level laid at its origin."""
    plane = np.full((2400, 2400, 3), 255, np.uint8)
    plane[500 : 500 + level.shape[0], 500 : 500 + level.shape[1]] = level
    return plane[box.shift(500, 500).rc]


@pytest.fixture(scope="module")
def image(pattern: Callable[[int, int], RGB]) -> RGB:
    return pattern(900, 700)


@pytest.fixture(scope="module")
def png(tmp_path_factory: pytest.TempPathFactory, image: RGB) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.png"
    Image.fromarray(image).save(path)
    return path


@pytest.fixture(scope="module")
def webp(tmp_path_factory: pytest.TempPathFactory, image: RGB) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.webp"
    Image.fromarray(image).save(path, lossless=True)
    return path


@pytest.fixture(scope="class")
def path(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.cls.file))


@pytest.fixture(scope="class")
def slide(request: pytest.FixtureRequest, path: Path) -> Iterator[Slide]:
    with open_slide(path, reader=request.cls.reader, mpp=0.25) as slide:
        yield slide


class SlideContract:
    """Each subclass names its reader and the fixture that writes a file for it."""

    reader: str
    file = "pyramid"
    levels = 3

    def test_states_its_shape(self, slide: Slide, path: Path) -> None:
        assert slide.reader == self.reader
        assert slide.path == path
        assert slide.dimensions == Size(900, 700)
        assert [level.downsample for level in slide.levels] == [1, 2, 4][: self.levels]
        assert slide.bounds == Box(0, 0, 900, 700)
        assert all(isinstance(value, str) for value in slide.properties.values())

    def test_the_users_mpp_goes_first(self, path: Path) -> None:
        with open_slide(path, reader=self.reader, mpp=0.5) as slide:
            assert slide.mpp == Mpp.square(0.5)
            assert slide.mpp_source == "given"

    @quick
    @given(x=corner, y=corner, width=side, height=side, data=st.data())
    def test_reads_the_pixels_written(
        self, slide: Slide, image: RGB, x: int, y: int, width: int, height: int, data: st.DataObject
    ) -> None:
        index = data.draw(st.integers(0, len(slide.levels) - 1))
        box = Box.at(Point(x, y), Size(width, height))
        step = int(slide.levels[index].downsample)
        got = slide.read_level(index, box)
        assert got.dtype == np.uint8
        assert np.array_equal(got, expected(image[::step, ::step], box))

    @quick
    @given(x=corner, y=corner, data=st.data())
    def test_a_region_starts_at_the_level_pixel_nearest_to_its_level0_location(
        self, slide: Slide, x: int, y: int, data: st.DataObject
    ) -> None:
        index = data.draw(st.integers(0, len(slide.levels) - 1))
        downsample = slide.levels[index].downsample
        got = slide.read_region(Point(x, y), index, Size(40, 30))
        nearest = Point(int(np.floor(x / downsample + 0.5)), int(np.floor(y / downsample + 0.5)))
        assert np.array_equal(got, slide.read_level(index, Box.at(nearest, Size(40, 30))))

    def test_threads_read_the_same_bytes(self, slide: Slide, image: RGB) -> None:
        boxes = [Box(x, y, x + 200, y + 150) for x in range(0, 700, 90) for y in range(0, 500, 90)]
        with ThreadPoolExecutor(4) as pool:
            for box, got in zip(boxes, pool.map(lambda box: slide.read_level(0, box), boxes), strict=True):
                assert np.array_equal(got, image[box.rc])

    def test_what_is_read_is_the_callers_own(self, slide: Slide, image: RGB) -> None:
        slide.read_level(0, Box(0, 0, 128, 128))[:] = 0
        assert np.array_equal(slide.read_level(0, Box(0, 0, 128, 128)), image[:128, :128])

    def test_refuses_levels_and_images_it_does_not_have(self, slide: Slide) -> None:
        with pytest.raises(UsageError, match="no level 9"):
            slide.read_level(9, Box(0, 0, 1, 1))
        with pytest.raises(UsageError, match="no level -1"):
            slide.read_region(Point(0, 0), -1, Size(1, 1))
        with pytest.raises(UsageError, match="no associated image 'label'"):
            slide.associated_image("label")

    def test_closes_twice(self, path: Path) -> None:
        slide = open_slide(path, reader=self.reader)
        slide.close()
        slide.close()


class TestTiff(SlideContract):
    reader = "tiff"


class TestOpenSlide(SlideContract):
    reader = "openslide"


class TestTiffSlide(SlideContract):
    reader = "tiffslide"


class TestPng(SlideContract):
    reader = "image"
    file = "png"
    levels = 1


class TestLosslessWebp(TestPng):
    file = "webp"
