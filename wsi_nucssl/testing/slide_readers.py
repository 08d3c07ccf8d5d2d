"""What every reader of slides has to do, whatever the format."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import ClassVar, Final

import fsspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsi_nucssl.errors import SlideError, UsageError
from wsi_nucssl.geometry import Box, Mpp, Point, Size
from wsi_nucssl.slide import RGB, Canvas, Slide, identity, open_slide

SIZE: Final = Size(900, 700)
"""Of the image that a suite's `write` is given, in px."""

_quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
_corner = st.integers(-150, 1000)
_side = st.integers(0, 400)


def pattern(size: Size = SIZE) -> RGB:
    """An image in which no two neighbourhoods look the same, uint8 RGB (row, col, 3)."""
    y, x = np.mgrid[0 : size.height, 0 : size.width].astype(np.float64)
    red = 128 + 100 * np.sin(x / 17) * np.cos(y / 23)
    green = (x + 2 * y) * 255 / (size.width + 2 * size.height)
    blue = 128 + 90 * np.sin((x - y) / 31) + (x.astype(int) * 7 + y.astype(int) * 13) % 20
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def expected(level: RGB, box: Box) -> RGB:
    """What reading `box` means, in the plainest way: a white plane with the level laid at its origin."""
    plane = np.full((2400, 2400, 3), 255, np.uint8)
    plane[500 : 500 + level.shape[0], 500 : 500 + level.shape[1]] = level
    return plane[box.shift(500, 500).rc]


class SlideReaderTests(ABC):
    """Inherit it, name the reader, and write a file for it.

    Attributes
    ----------
    reader : str
        The name under which the reader is registered.
    downsamples : tuple[int, ...]
        Level-0 px per px of each level that `write` writes, finest first.
    is_automatic : bool
        False where another reader comes first at the files that `write` writes.
    takes_urls : bool
        False for a reader that calls `local_path`.
    """

    reader: ClassVar[str]
    downsamples: ClassVar[tuple[int, ...]] = (1,)
    is_automatic: ClassVar[bool] = True
    takes_urls: ClassVar[bool] = True

    @abstractmethod
    def write(self, folder: Path, image: RGB) -> Path:
        """Write a slide without loss into an empty folder, and return the file to open.

        Level k holds `image[::d, ::d]` with d = `downsamples[k]`. Nothing in the file says that part of the slide
        was not scanned.
        """

    @pytest.fixture(scope="class")
    @classmethod
    def image(cls) -> RGB:
        """The pixels of level 0."""
        return pattern()

    @pytest.fixture(scope="class")
    @classmethod
    def path(cls, tmp_path_factory: pytest.TempPathFactory, image: RGB) -> Path:
        """The file that `write` wrote."""
        return cls().write(tmp_path_factory.mktemp("slide"), image)

    @pytest.fixture(scope="class")
    @classmethod
    def slide(cls, path: Path) -> Iterator[Slide]:
        """The slide, open, at 0.25 µm per px."""
        with open_slide(path, reader=cls.reader, mpp=0.25) as slide:
            yield slide

    def test_states_its_shape(self, slide: Slide, path: Path) -> None:
        """Sizes, bounds and properties are those of what was written."""
        assert slide.reader == self.reader
        assert slide.path == path
        assert slide.dimensions == SIZE
        assert tuple(level.downsample for level in slide.levels) == self.downsamples
        assert slide.bounds == Box.at(Point(0, 0), SIZE)
        assert all(isinstance(value, str) for value in slide.properties.values())

    def test_is_recognised_by_its_content(self, path: Path, tmp_path: Path) -> None:
        """Whatever the file is called."""
        renamed = tmp_path / "slide.bin"
        renamed.write_bytes(path.read_bytes())
        with open_slide(renamed) as slide:
            assert (slide.reader == self.reader) == self.is_automatic
            assert slide.dimensions == SIZE

    def test_a_forced_mpp_goes_before_what_the_file_says(self, path: Path) -> None:
        """And is known for what it is."""
        with open_slide(path, reader=self.reader, mpp=0.5, force_mpp=True) as slide:
            assert slide.mpp == Mpp.square(0.5)
            assert slide.mpp_source == "forced"
            assert slide.is_mpp_forced

    def test_the_users_mpp_fills_in(self, path: Path) -> None:
        """Where the file says another, it is refused."""
        with open_slide(path, reader=self.reader) as slide:
            stated = slide.mpp
        if stated is None:
            with open_slide(path, reader=self.reader, mpp=0.5) as slide:
                assert (slide.mpp, slide.mpp_source) == (Mpp.square(0.5), "given")
        else:
            with pytest.raises(SlideError, match="states"):
                open_slide(path, reader=self.reader, mpp=2 * stated.x)

    @_quick
    @given(x=_corner, y=_corner, width=_side, height=_side, data=st.data())
    def test_reads_the_pixels_written(
        self, slide: Slide, image: RGB, x: int, y: int, width: int, height: int, data: st.DataObject
    ) -> None:
        """Exactly those, and white outside."""
        index = data.draw(st.integers(0, len(slide.levels) - 1))
        box = Box.at(Point(x, y), Size(width, height))
        step = int(slide.levels[index].downsample)
        got = slide.read_level(index, box)
        assert got.dtype == np.uint8
        assert np.array_equal(got, expected(image[::step, ::step], box))

    @_quick
    @given(x=_corner, y=_corner, data=st.data())
    def test_a_region_starts_at_the_level_pixel_nearest_to_its_level0_location(
        self, slide: Slide, x: int, y: int, data: st.DataObject
    ) -> None:
        """So that a pixel has one value, whatever the region that it is read in."""
        index = data.draw(st.integers(0, len(slide.levels) - 1))
        downsample = slide.levels[index].downsample
        got = slide.read_region(Point(x, y), index, Size(40, 30))
        nearest = Point(int(np.floor(x / downsample + 0.5)), int(np.floor(y / downsample + 0.5)))
        assert np.array_equal(got, slide.read_level(index, Box.at(nearest, Size(40, 30))))

    def test_threads_read_the_same_bytes(self, slide: Slide, image: RGB) -> None:
        """Four at a time."""
        boxes = [Box(x, y, x + 200, y + 150) for x in range(0, 700, 90) for y in range(0, 500, 90)]
        with ThreadPoolExecutor(4) as pool:
            for box, got in zip(boxes, pool.map(lambda box: slide.read_level(0, box), boxes), strict=True):
                assert np.array_equal(got, image[box.rc])

    def test_what_is_read_is_the_callers_own(self, slide: Slide, image: RGB) -> None:
        """Writing on it changes no later answer."""
        slide.read_level(0, Box(0, 0, 128, 128))[:] = 0
        assert np.array_equal(slide.read_level(0, Box(0, 0, 128, 128)), image[:128, :128])

    def test_reads_the_same_pixels_however_few_it_may_hold(self, slide: Slide, image: RGB) -> None:
        """Caches never show."""
        for tile_bytes in (1 << 20, 0):
            slide.hold_at_most(tile_bytes)
            for _ in range(2):
                assert np.array_equal(slide.read_level(0, Box.at(Point(0, 0), slide.dimensions)), image)

    def test_refuses_levels_and_images_it_does_not_have(self, slide: Slide) -> None:
        """With a UsageError."""
        with pytest.raises(UsageError, match="no level 9"):
            slide.read_level(9, Box(0, 0, 1, 1))
        with pytest.raises(UsageError, match="no level -1"):
            slide.read_region(Point(0, 0), -1, Size(1, 1))
        with pytest.raises(UsageError, match="no associated image 'none'"):
            slide.associated_image("none")

    def test_closes_twice(self, path: Path) -> None:
        """Without complaint."""
        slide = open_slide(path, reader=self.reader)
        slide.close()
        slide.close()

    def test_pickles_as_how_to_open_it_again(self, slide: Slide, image: RGB) -> None:
        """With what the user gave, and few bytes however large the slide."""
        packed = pickle.dumps(slide)
        assert len(packed) < 2000
        with pickle.loads(packed) as again:
            assert (again.reader, again.path, again.mpp) == (slide.reader, slide.path, slide.mpp)
            assert np.array_equal(again.read_level(0, Box(100, 50, 300, 250)), image[50:250, 100:300])

    def test_a_new_process_reads_the_same_pixels(self, slide: Slide) -> None:
        """As the workers of a pool, of dask and of a DataLoader do."""
        canvas = Canvas(slide, Mpp.square(0.4))
        box = Box(31, 17, 331, 217)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            assert np.array_equal(pool.submit(canvas.read, box).result(), canvas.read(box))

    def test_a_url_gives_the_same_pixels_or_is_refused(self, path: Path, image: RGB) -> None:
        """A reader that takes local files alone says so."""
        url = f"memory://{self.reader}/{path.name}"
        with fsspec.open(url, "wb") as file:
            file.write(path.read_bytes())
        if self.takes_urls:
            with open_slide(url, reader=self.reader) as slide:
                assert np.array_equal(slide.read_level(0, Box(10, 20, 900, 700)), image[20:, 10:])
                assert str(slide.path) == url
                assert identity(slide) == identity(path)
        else:
            with pytest.raises(
                SlideError, match=f"the reader {self.reader} takes local files alone.*Download"
            ):
                open_slide(url, reader=self.reader)

    @pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
    def test_what_is_cut_short_is_a_slide_error(self, path: Path, tmp_path: Path, kept: float) -> None:
        """On opening, or once the pixels that are missing are read."""
        cut = tmp_path / path.name
        data = path.read_bytes()
        cut.write_bytes(data[: int(kept * len(data))])
        with pytest.raises(SlideError):
            _read_whole(cut, self.reader)


def _read_whole(path: Path, reader: str) -> None:
    with open_slide(path, reader=reader) as slide:
        for index, level in enumerate(slide.levels):
            slide.read_level(index, Box.at(Point(0, 0), level.size))
