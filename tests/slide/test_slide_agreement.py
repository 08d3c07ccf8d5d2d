"""Backends against each other, and against OpenSlide as the reference for what a region means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import pytest

from wsi_nucssl.geometry import Box, Mpp, Point, Size
from wsi_nucssl.slide import RGB, open_slide

OTHER_DECODER_MAX = 1
"""OpenSlide brings a libjpeg-turbo and an OpenJPEG of its own: with openslide-bin 4.0.1 the difference is 0."""


def difference(one: RGB, other: RGB) -> int:
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize("colour", ["rgb", "ycbcr"])
def test_jpeg_tiles_come_out_alike(
    tmp_path: Path, colour: str, pattern: Callable[[int, int], RGB], write_tiff: Callable[..., Path]
) -> None:
    path = write_tiff(
        tmp_path / "slide.tif",
        pattern(500, 400),
        compression="jpeg",
        compressionargs={"level": 80, "outcolorspace": colour},
        subsampling=(2, 2) if colour == "ycbcr" else None,
    )
    box = Box(3, 5, 490, 399)
    reads = {}
    for name in ("tiff", "tiffslide", "openslide"):
        with open_slide(path, reader=name) as slide:
            reads[name] = slide.read_level(0, box)
    assert difference(reads["tiff"], reads["tiffslide"]) == 0
    assert difference(reads["tiff"], reads["openslide"]) <= OTHER_DECODER_MAX


def test_jpeg_with_shared_tables(cmu_slide: Path) -> None:
    """Aperio's own way: RGB photometric, tables apart, subsampled."""
    box = Box(500, 700, 1300, 1500)
    with open_slide(cmu_slide) as fast, open_slide(cmu_slide, reader="openslide") as reference:
        assert fast.reader == "tiff"
        assert fast.vendor == reference.vendor == "aperio"
        assert fast.mpp == reference.mpp == Mpp.square(0.499)
        assert fast.mpp_source == "aperio.MPP"
        assert fast.associated_images == reference.associated_images == ("label", "macro", "thumbnail")
        assert difference(fast.read_level(0, box), reference.read_level(0, box)) <= OTHER_DECODER_MAX
        for name in fast.associated_images:
            assert (
                difference(fast.associated_image(name), reference.associated_image(name)) <= OTHER_DECODER_MAX
            )
        shared = {key: value for key, value in reference.properties.items() if key.startswith("aperio.")}
        assert shared.items() <= fast.properties.items()


def test_jpeg2000_without_mpp(tcga_slide: Path) -> None:
    box = Box(1000, 1000, 1400, 1300)
    with open_slide(tcga_slide) as fast, open_slide(tcga_slide, reader="openslide") as reference:
        assert fast.mpp is reference.mpp is None
        assert fast.mpp_source == ""
        assert [level.downsample for level in fast.levels] == [1, 2]
        assert fast.levels == reference.levels
        assert difference(fast.read_level(0, box), reference.read_level(0, box)) <= OTHER_DECODER_MAX


def test_a_region_is_openslides_region(pyramid: Path) -> None:
    """At locations that are whole px of the level, where OpenSlide does not interpolate."""
    with open_slide(pyramid) as slide, openslide.OpenSlide(pyramid) as reference:
        for level, downsample in enumerate((1, 2, 4)):
            for x, y in ((0, 0), (16, 8), (120, 400), (-40, 20), (880, 680)):
                region = np.asarray(reference.read_region((x, y), level, (90, 70))).astype(np.uint8)
                inside = region[..., 3] == 255
                got = slide.read_region(Point(x, y), level, Size(90, 70))
                assert np.array_equal(got[inside], region[..., :3][inside]), (level, downsample, x, y)
                assert (got[~inside] == 255).all()


def test_where_a_level_drops_a_column_openslide_interpolates_but_a_pixel_has_one_value(odd_svs: Path) -> None:
    whole = Box(0, 0, 450, 351)
    with open_slide(odd_svs, reader="openslide") as slide, open_slide(odd_svs) as fast:
        assert slide.levels == fast.levels
        assert slide.levels[1].downsample == 2
        everything = slide.read_level(1, whole)
        for box in (Box(13, 17, 301, 290), Box(101, 3, 103, 351), Box(449, 350, 450, 351)):
            assert np.array_equal(slide.read_level(1, box), everything[box.rc])
        assert np.abs(everything.astype(int) - fast.read_level(1, whole)).mean() < 1


@pytest.mark.parametrize("reader", ["tiff", "openslide", "tiffslide"])
def test_mpp_from_the_tiffs_resolution(pyramid: Path, reader: str) -> None:
    with open_slide(pyramid, reader=reader) as slide:
        assert slide.mpp == Mpp.square(0.25)
        assert slide.mpp_source in {"tiff.XResolution", "openslide.mpp-x", "tiffslide.mpp-x"}


@pytest.mark.parametrize("reader", ["tiff", "openslide", "tiffslide", "image"])
def test_a_printing_density_is_no_mpp(
    tmp_path: Path, reader: str, pattern: Callable[[int, int], RGB], write_tiff: Callable[..., Path]
) -> None:
    path = write_tiff(tmp_path / "dpi.tif", pattern(200, 200), resolution=(72, 72), resolutionunit="INCH")
    with open_slide(path, reader=reader) as slide:
        assert slide.mpp is None
        assert slide.mpp_source == ""
