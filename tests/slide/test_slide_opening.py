"""Which reader opens what, and what a broken file is told."""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from wsi_nucssl.errors import MissingMpp, SlideError, UsageError
from wsi_nucssl.geometry import Box, Mpp
from wsi_nucssl.slide import RGB, Canvas, open_slide, require_mpp


def test_content_decides_not_the_name(
    tmp_path: Path, pyramid: Path, pattern: Callable[[int, int], RGB]
) -> None:
    (tmp_path / "slide.png").write_bytes(pyramid.read_bytes())
    Image.fromarray(pattern(60, 50)).save(tmp_path / "image.svs", format="PNG")
    Image.fromarray(pattern(60, 50)).save(tmp_path / "image.ndpi", format="JPEG")
    for name, reader in (("slide.png", "tiff"), ("image.svs", "image"), ("image.ndpi", "image")):
        with open_slide(str(tmp_path / name)) as slide:
            assert slide.reader == reader


def test_what_the_fast_reader_does_not_understand_goes_to_another(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    with tifffile.TiffWriter(tmp_path / "oblique.tif") as tiff:
        for width in (128, 64):
            tiff.write(
                image[:, :width],
                photometric="rgb",
                tile=(64, 64),
                subfiletype=int(width < 128),
                metadata=None,
            )
    with open_slide(tmp_path / "oblique.tif") as slide:
        assert slide.reader != "tiff"
        assert np.array_equal(slide.read_level(0, Box(0, 0, 128, 128)), image)
    with pytest.raises(SlideError, match=r"no reduced copy.*`reader` auto"):
        open_slide(tmp_path / "oblique.tif", reader="tiff")


@pytest.mark.parametrize("reader", ["auto", "tiff", "openslide", "tiffslide", "image"])
@pytest.mark.parametrize(
    "content", [b"", b"this is a text file, not a slide\n" * 20, b"II*\0", b"\x89PNG\r\n\x1a\n junk"]
)
def test_no_slide(tmp_path: Path, reader: str, content: bytes) -> None:
    path = tmp_path / "notes.svs"
    path.write_bytes(content)
    with pytest.raises(SlideError) as caught:
        open_slide(path, reader=reader)
    assert caught.value.path == str(path)
    assert caught.value.remedy
    assert caught.value.exit_code == 4
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match="no such file"):
        open_slide(tmp_path / "gone.svs")
    with pytest.raises(SlideError, match="folder"):
        open_slide(tmp_path)


def test_a_slide_that_was_opened_by_a_relative_path_is_found_from_any_folder(
    pyramid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pyramid.parent)
    with open_slide(pyramid.name) as slide:
        packed = pickle.dumps(slide)
    monkeypatch.chdir(tmp_path)
    with pickle.loads(packed) as again:
        assert again.path == pyramid
        assert (again.mpp, again.mpp_source) == (Mpp.square(0.25), "tiff.XResolution")


def test_impossible_options(pyramid: Path) -> None:
    with pytest.raises(UsageError, match="no reader 'bioformats'"):
        open_slide(pyramid, reader="bioformats")
    with pytest.raises(UsageError, match="`mpp` is µm per px"):
        open_slide(pyramid, mpp=-1)


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.95])
def test_a_truncated_slide_is_refused_on_opening(tmp_path: Path, odd_svs: Path, keep: float) -> None:
    data = odd_svs.read_bytes()
    path = tmp_path / "cut.svs"
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(SlideError) as caught:
        open_slide(path)
    assert caught.value.remedy


@pytest.mark.parametrize("keep", [1_000_000, 1_275_900, 1_700_000, 1_938_000])
def test_a_real_slide_truncated(tmp_path: Path, cmu_slide: Path, keep: int) -> None:
    path = tmp_path / "cut.svs"
    path.write_bytes(cmu_slide.read_bytes()[:keep])
    with pytest.raises(SlideError, match="its end is missing"):
        open_slide(path)


def _overwrite(path: Path, tag: str, value: int) -> None:
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].aspage().tags[tag].overwrite(value, dtype="I")


@pytest.mark.parametrize(
    ("tag", "value"), [("ImageWidth", 2**31), ("ImageLength", 4_000_000_000), ("TileWidth", 2**30)]
)
def test_absurd_sizes_take_no_memory(tmp_path: Path, pyramid: Path, tag: str, value: int) -> None:
    path = tmp_path / "absurd.tif"
    path.write_bytes(pyramid.read_bytes())
    _overwrite(path, tag, value)
    with pytest.raises(SlideError):
        open_slide(path, reader="tiff")


@pytest.mark.filterwarnings("ignore")
def test_flipped_bytes_in_the_directories_never_escape_as_bugs(tmp_path: Path, odd_svs: Path) -> None:
    whole = odd_svs.read_bytes()
    with tifffile.TiffFile(odd_svs) as tiff:
        directories = [page.aspage().offset for page in tiff.pages]
    random = np.random.default_rng(0)
    path = tmp_path / "flipped.svs"
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            data[random.choice(directories) + random.integers(0, 220)] = random.integers(0, 256)
        path.write_bytes(data)
        try:
            with open_slide(path, reader="tiff") as slide:
                slide.read_level(0, Box(0, 0, 10, 10))
        except SlideError:
            refused += 1
    assert refused > 50


def test_an_image_too_large_to_hold(tmp_path: Path) -> None:
    """A PNG of 30,000 × 30,000 by its header; no such pixels follow."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 1 << 20) + b"IDAT")
    with pytest.raises(SlideError, match="too large to be held") as caught:
        open_slide(path)
    assert "vips" in str(caught.value)


def test_a_damaged_tile_is_named(tmp_path: Path, pyramid: Path) -> None:
    path = tmp_path / "damaged.tif"
    data = bytearray(pyramid.read_bytes())
    with tifffile.TiffFile(pyramid) as tiff:
        offset = tiff.pages[0].aspage().dataoffsets[3]
    data[offset : offset + 40] = b"\xff" * 40
    path.write_bytes(data)
    with open_slide(path) as slide:
        slide.read_level(0, Box(0, 0, 100, 100))
        with pytest.raises(SlideError, match="level 0, tile in column 3 and row 0"):
            slide.read_level(0, Box(0, 0, 900, 100))


def test_damaged_and_deep_images(tmp_path: Path, pattern: Callable[[int, int], RGB]) -> None:
    Image.fromarray(pattern(300, 300)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:5000])
    with pytest.raises(SlideError, match="damaged"):
        open_slide(tmp_path / "cut.png")
    Image.fromarray(np.full((20, 20), 0x8080, np.uint16)).save(tmp_path / "deep.png")
    with open_slide(tmp_path / "deep.png") as slide:
        assert (slide.read_level(0, Box(0, 0, 20, 20)) == 0x80).all()


def test_alpha_of_an_image_goes_onto_white(tmp_path: Path) -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[0, 0] = (10, 20, 30, 255)
    rgba[1, 1] = (0, 0, 0, 128)
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    got = open_slide(tmp_path / "alpha.png").read_level(0, Box(0, 0, 4, 4))
    assert got[0, 0].tolist() == [10, 20, 30]
    assert got[1, 1].tolist() == [127, 127, 127]
    assert got[2, 2].tolist() == [255, 255, 255]


def test_missing_mpp_names_the_option(tcga_slide: Path) -> None:
    with open_slide(tcga_slide) as slide:
        with pytest.raises(MissingMpp, match="`mpp`"):
            require_mpp(slide)
        with pytest.raises(MissingMpp, match="`mpp`"):
            Canvas(slide, Mpp.square(0.25))


def test_a_stack_that_tiffslide_does_not_read_is_a_slide_error(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(
        path, np.zeros((3, 2, 64, 64), np.uint8), photometric="minisblack", metadata={"axes": "ZCYX"}
    )
    with pytest.raises(SlideError, match=r"stack\.tif.*tiffslide does not give the colours.*MINISBLACK"):
        open_slide(path, reader="tiffslide")
