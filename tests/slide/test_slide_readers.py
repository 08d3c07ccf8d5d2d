"""Every backend passes the suite that authors of readers are given."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.slide.conftest import write_pyramid
from wsi_nucssl.slide import RGB
from wsi_nucssl.testing.slide_readers import SlideReaderTests


class TestTiff(SlideReaderTests):
    reader = "tiff"
    downsamples = (1, 2, 4)

    def write(self, folder: Path, image: RGB) -> Path:
        return write_pyramid(folder / "pyramid.tif", image)


class TestOpenSlide(TestTiff):
    reader = "openslide"
    is_automatic = False
    takes_urls = False


class TestTiffSlide(TestTiff):
    reader = "tiffslide"
    is_automatic = False
    takes_urls = False


class TestPng(SlideReaderTests):
    reader = "image"

    def write(self, folder: Path, image: RGB) -> Path:
        Image.fromarray(image).save(folder / "image.png")
        return folder / "image.png"


class TestLosslessWebp(SlideReaderTests):
    reader = "image"

    def write(self, folder: Path, image: RGB) -> Path:
        Image.fromarray(image).save(folder / "image.webp", lossless=True)
        return folder / "image.webp"
