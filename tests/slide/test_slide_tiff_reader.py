"""The fast reader: codecs, strips, alpha, and decoding each stored tile once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box
from wsi_nucssl.slide import RGB, open_slide
from wsi_nucssl.slide.lru import TileCache
from wsi_nucssl.slide.readers.aperio import associated_name, parse_description
from wsi_nucssl.slide.readers.tiff import TiffReader


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"compression": "lzw"},
        {"compression": "lzw", "predictor": True},
        {"compression": "deflate"},
        {"compression": "zstd"},
        {"compression": "jpeg2000", "compressionargs": {"reversible": True}},
        {"compression": "webp", "compressionargs": {"lossless": True}},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"tile": None, "rowsperstrip": 37},
        {"tile": None, "rowsperstrip": 37, "compression": "lzw", "predictor": True},
        {"tile": (64, 256)},
    ],
    ids=str,
)
def test_lossless_codecs_give_the_pixels_back(
    tmp_path: Path, how: dict[str, Any], pattern: Callable[[int, int], RGB]
) -> None:
    image = pattern(333, 277)
    layout = {key: how[key] for key in ("bigtiff", "byteorder") if key in how}
    rest = {"tile": (128, 128)} | {key: value for key, value in how.items() if key not in layout}
    with tifffile.TiffWriter(tmp_path / "slide", **layout) as tiff:
        tiff.write(image, photometric="rgb", metadata=None, **rest)
    with open_slide(tmp_path / "slide") as slide:
        assert slide.reader == "tiff"
        assert np.array_equal(slide.read_level(0, Box(0, 0, 333, 277)), image)
        assert np.array_equal(slide.read_level(0, Box(120, 100, 333, 260)), image[100:260, 120:333])


def test_grey_becomes_rgb_and_alpha_goes_onto_white(
    tmp_path: Path, pattern: Callable[[int, int], RGB]
) -> None:
    image = pattern(150, 140)
    tifffile.imwrite(
        tmp_path / "grey.tif", image[..., 0], tile=(64, 64), photometric="minisblack", metadata=None
    )
    alpha = np.where(np.arange(150) < 70, 255, 0).astype(np.uint8)
    rgba = np.dstack([image, np.broadcast_to(alpha, (140, 150))])
    tifffile.imwrite(
        tmp_path / "rgba.tif",
        rgba,
        tile=(64, 64),
        photometric="rgb",
        extrasamples=["unassalpha"],
        metadata=None,
    )
    with open_slide(tmp_path / "grey.tif", reader="tiff") as slide:
        assert np.array_equal(slide.read_level(0, Box(0, 0, 150, 140)), np.repeat(image[..., :1], 3, axis=2))
    with open_slide(tmp_path / "rgba.tif", reader="tiff") as slide:
        got = slide.read_level(0, Box(0, 0, 150, 140))
        assert np.array_equal(got[:, :70], image[:, :70])
        assert (got[:, 70:] == 255).all()


def test_each_stored_tile_is_decoded_once(pyramid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    original = TiffReader._decode_tile

    def counting(self: TiffReader, stored: Any, index: int, data: list[bytes]) -> RGB:
        decoded.append(index)
        return original(self, stored, index, data)

    monkeypatch.setattr(TiffReader, "_decode_tile", counting)
    with open_slide(pyramid, reader="tiff") as slide:
        for y in range(0, 700, 100):
            for x in range(0, 900, 100):
                slide.read_level(0, Box(x, y, x + 100, y + 100))
    assert sorted(decoded) == list(range(8 * 6))


def test_a_disk_that_fails_is_the_slides_error(pyramid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> bytes:
        raise OSError(5, "Input/output error")

    with open_slide(pyramid, reader="tiff") as slide:
        monkeypatch.setattr(os, "pread", fail)
        with pytest.raises(SlideError, match="Input/output error"):
            slide.read_level(0, Box(0, 0, 10, 10))


def test_a_tile_left_out_is_white(tmp_path: Path, pattern: Callable[[int, int], RGB]) -> None:
    path = tmp_path / "sparse.tif"
    tifffile.imwrite(
        path, pattern(256, 128), tile=(128, 128), photometric="rgb", compression="zstd", metadata=None
    )
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("TileByteCounts", "TileOffsets"):
            table = tiff.pages[0].aspage().tags[name]
            table.overwrite([0, table.value[1]])
    with open_slide(path) as slide:
        got = slide.read_level(0, Box(0, 0, 256, 128))
    assert (got[:, :128] == 255).all()
    assert np.array_equal(got[:, 128:], pattern(256, 128)[:, 128:])


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 60)), max_size=60))
def test_the_cache_never_holds_more_than_its_capacity(puts: list[tuple[int, int]]) -> None:
    cache = TileCache(3 * 50)
    for key, rows in puts:
        tile = np.zeros((rows, 1, 3), np.uint8)
        cache.put((key,), tile)
        assert cache.held_bytes <= 150
        assert (cache.get((key,)) is tile) == (tile.nbytes <= 150)
    cache.limit(60)
    assert cache.held_bytes <= 60
    cache.clear()
    assert cache.held_bytes == 0


def test_aperios_description() -> None:
    text = "Aperio Image Library v11\r\nlabel 387x463|AppMag = 20|MPP = 0.4990|Title|Odd = a = b"
    assert parse_description(text) == {"aperio.AppMag": "20", "aperio.MPP": "0.4990", "aperio.Odd": "a = b"}
    assert associated_name(text, 2) == "label"
    assert associated_name("Aperio", 2) == ""
    assert associated_name("Aperio", 1) == "thumbnail"
