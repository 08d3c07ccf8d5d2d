"""Stored tiles that are not what their page says: each is refused with its place; sound ones of the same kind pass."""

from __future__ import annotations

import io
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.slide.damage import Writer, page_of, patch, read, refused
from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box
from wsi_nucssl.slide import RGB, open_slide
from wsi_nucssl.slide.readers import strict_jpeg
from wsi_nucssl.slide.readers.tiff import TiffReader
from wsi_nucssl.slide.readers.tiff_segments import SegmentDamage, _check_lzw_end


@pytest.mark.parametrize("colours", [{}, {"compressionargs": {"level": 90, "outcolorspace": "rgb"}}])
def test_jpeg_tiles_are_what_tifffile_makes_of_them(tiff: Writer, colours: dict[str, Any]) -> None:
    path = tiff(compression="jpeg", **colours)
    assert np.array_equal(read(path), tifffile.imread(path))


def spoil_middle(data: bytearray, at: int, count: int) -> None:
    data[at + count // 2 : at + count] = bytes(count - count // 2)


def end_early(data: bytearray, at: int, count: int) -> None:
    data[at + count // 2 : at + count // 2 + 2] = b"\xff\xd9"


def never_end(data: bytearray, at: int, count: int) -> None:
    data[at + count - 2 : at + count] = b"\0\0"


def frame_field(offset: int, value: bytes) -> Callable[[bytearray, int, int], None]:
    def change(data: bytearray, at: int, count: int) -> None:
        place = data.index(b"\xff\xc0", at, at + count) + 4 + offset
        data[place : place + len(value)] = value

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (spoil_middle, "nothing but zeros|is damaged: "),
        (end_early, "premature end|is damaged: "),
        (never_end, "is damaged: "),
        (frame_field(0, b"\x0c"), "holds 12 bits a sample instead of 8"),
        (frame_field(1, struct.pack(">HH", 65500, 65500)), "holds 65500 × 65500 px instead of 128 × 128"),
        (frame_field(1, struct.pack(">HH", 64, 256)), "holds 256 × 64 px instead of 128 × 128"),
        (frame_field(5, b"\x01"), "holds 1 samples a pixel instead of 3"),
    ],
)
def test_a_jpeg_tile_that_is_not_whole_is_refused_with_its_place(
    tiff: Writer, change: Callable[[bytearray, int, int], None], says: str
) -> None:
    path = tiff(compression="jpeg", compressionargs={"level": 90})
    page = page_of(path)
    data = bytearray(path.read_bytes())
    change(data, page.dataoffsets[4], page.databytecounts[4])
    path.write_bytes(data)
    assert "level 0, tile in column 1 and row 1" in refused(path, says)


def test_the_real_slide_with_512_bytes_zeroed_is_refused(cmu_slide: Path, tmp_path: Path) -> None:
    path = tmp_path / "cmu.svs"
    shutil.copyfile(cmu_slide, path)
    path.chmod(0o600)
    patch(path, 386560, bytes(512))
    with open_slide(path) as slide, pytest.raises(SlideError, match="level 0, tile in column 2 and row 5"):
        slide.read_level(0, Box(0, 0, 2220, 2967))


def test_blank_tiles_whose_codes_are_zeros_are_no_damage() -> None:
    """Tables made for the picture give "end of block" the first code, so that white is coded in zeros."""
    white = np.full((512, 512), 255, np.uint8)
    file = io.BytesIO()
    Image.fromarray(white).save(file, "JPEG", optimize=True)
    assert bytes(40) in file.getvalue()
    assert (strict_jpeg.decode(file.getvalue(), None, [(512, 512)], 1, stored_as_is=True) == 255).all()


@pytest.mark.parametrize(
    "how",
    [
        {"compression": "jpeg2000", "compressionargs": {"reversible": True}},
        {"compression": "webp", "compressionargs": {"lossless": True}},
        {"compression": "jpegxl", "compressionargs": {"lossless": True}},
        {"compression": "deflate"},
        {"compression": "lzw"},
        {"compression": "zstd"},
        {},
    ],
    ids=str,
)
def test_a_tile_of_another_size_than_its_page_says_is_refused(
    tiff: Writer, how: dict[str, Any], pattern: Callable[[int, int], RGB]
) -> None:
    """The page is made to say 64 × 256 px a tile of tiles of 128 × 128: as many bytes or fewer tiles, other pixels."""
    path = tiff(**how)
    assert np.array_equal(read(path), pattern(300, 260))
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].aspage().tags["TileLength"].overwrite(112)  # still three rows of tiles
    refused(
        path, "level 0, tile in column 0 and row 0 .*(instead of|INSUFFICIENT_SPACE|too small|invalid out)"
    )


def test_an_lzw_strip_that_lacks_its_last_bytes_is_refused_unless_only_the_end_code_is_lost(
    tiff: Writer, pattern: Callable[[int, int], RGB]
) -> None:
    path = tiff(compression="lzw", predictor=True, tile=None, rowsperstrip=37)
    with tifffile.TiffFile(path) as file:
        counts = file.pages[0].aspage().tags["StripByteCounts"].value
    said = []
    for strip, count in enumerate(counts):
        for short in (1, 2, 3):
            with tifffile.TiffFile(path, mode="r+") as file:
                table = file.pages[0].aspage().tags["StripByteCounts"]
                table.overwrite([*counts[:strip], count - short, *counts[strip + 1 :]])
            try:
                assert np.array_equal(read(path, reader="tiff"), pattern(300, 260))
            except SlideError as error:
                said.append(error.what)
    assert len(said) >= len(counts)


def test_an_lzw_stream_cut_inside_its_last_code_is_damage_whatever_its_decoder_fills_in() -> None:
    wrong = 0
    for seed in range(300):
        raw = np.random.default_rng(seed).integers(0, 40, 500 + seed, dtype=np.uint8).tobytes()
        for short in (1, 2):
            data = bytes(imagecodecs.lzw_encode(raw)[:-short])
            decoded = bytes(imagecodecs.lzw_decode(data, out=len(raw) + 1))
            if len(decoded) == len(raw) and decoded != raw:
                wrong += 1
                with pytest.raises(SegmentDamage, match="ends inside a code"):
                    _check_lzw_end(data, decoded)
    assert wrong


def test_a_single_strip_is_decoded_once(tiff: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiff(tile=None, rowsperstrip=260, compression="deflate")
    calls: list[int] = []
    with open_slide(path, reader="tiff") as slide:
        assert isinstance(slide, TiffReader)
        decode = slide._decode_tile

        def counted(level: int, index: int, data: list[bytes]) -> RGB:
            calls.append(index)
            return decode(level, index, data)

        monkeypatch.setattr(slide, "_decode_tile", counted)
        for y in range(0, 260, 50):
            slide.read_level(0, Box(0, y, 300, min(260, y + 50)))
    assert len(calls) == 1


def test_tiffslide_does_not_decode_a_large_strip_for_every_window(tmp_path: Path) -> None:
    path = tmp_path / "strip.tif"
    image = np.zeros((2100, 2100, 3), np.uint8)
    tifffile.imwrite(path, image, photometric="rgb", rowsperstrip=2100, compression="deflate", metadata=None)
    with pytest.raises(SlideError, match=r"are decoded as a whole for every window.*vips tiffsave"):
        open_slide(path, reader="tiffslide")
    with open_slide(path) as slide:
        assert slide.reader == "tiff"


def test_a_codec_that_states_an_enormous_size_takes_no_memory(tiff: Writer) -> None:
    path = tiff(compression="jpeg2000", compressionargs={"reversible": True})
    page = page_of(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\x4f\xff\x51", page.dataoffsets[0])
    data[at + 8 : at + 16] = struct.pack(">II", 2**31, 2**31)
    path.write_bytes(data)
    refused(path, "it states 2147483648 × 2147483648 px instead of 128 × 128", reader="tiff")
