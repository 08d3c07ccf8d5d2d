"""Damaged and hostile slides: each is refused by name, in time, and within memory; sound ones of the same kind pass."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box
from wsi_nucssl.slide import RGB, open_slide
from wsi_nucssl.slide.readers import guard, strict_jpeg
from wsi_nucssl.slide.readers.tiff import TiffReader
from wsi_nucssl.slide.readers.tiff_segments import SegmentDamage, _check_lzw_end

Writer = Callable[..., Path]
SIZE = Box(0, 0, 300, 260)


@pytest.fixture
def tiff(tmp_path: Path, pattern: Callable[[int, int], RGB]) -> Writer:
    """(**tifffile options) → a TIFF of 300 × 260 px in tiles of 128 px."""

    def write(**how: Any) -> Path:
        big = how.pop("bigtiff", False)
        options = {"tile": (128, 128), "photometric": "rgb", "metadata": None, **how}
        with tifffile.TiffWriter(tmp_path / "slide.tif", bigtiff=big) as file:
            file.write(pattern(300, 260), **options)
        return tmp_path / "slide.tif"

    return write


def page_of(path: Path) -> tifffile.TiffPage:
    with tifffile.TiffFile(path) as file:
        return file.pages[0].aspage()


def patch(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def read(path: Path, **how: Any) -> RGB:
    with open_slide(path, **how) as slide:
        return slide.read_level(0, SIZE)


def refused(path: Path, says: str, **how: Any) -> str:
    with pytest.raises(SlideError, match=says) as caught:
        read(path, **how)
    assert caught.value.path == str(path)
    assert caught.value.remedy
    return caught.value.message


# JPEG tiles


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


# Directories


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("TileWidth", 2**32 - 1, "TileWidth is 4294967295 px"),
        ("TileWidth", 2**24, "TileWidth is 16777216 px"),
        ("TileLength", 127, "TileLength is 127 px"),
        ("ImageWidth", 2**31, "ImageWidth is 2147483648 px"),
        ("ImageWidth", 300 ^ 512, "lists 9"),
        ("ImageLength", 0, "ImageLength is 0 px"),
        ("SamplesPerPixel", 0, "SamplesPerPixel is 0"),
        ("PlanarConfiguration", 7, "PlanarConfiguration is 7"),
        ("PhotometricInterpretation", 0, "do not make 3 samples"),
    ],
)
def test_sizes_that_cannot_be_are_refused_by_field(
    tiff: Writer, big: bool, name: str, value: int, says: str
) -> None:
    path = tiff(bigtiff=big)
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].aspage().tags[name]
    patch(path, tag.offset + 2, struct.pack("<H", 4 if value > 65535 else tag.dtype))
    patch(path, tag.valueoffset, struct.pack("<I" if value > 65535 else "<H", value))
    for reader in ("auto", "tiff", "openslide", "tiffslide"):
        refused(path, says, reader=reader)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("target", ["itself", "header", "beyond"])
def test_a_chain_of_directories_that_loops_or_leaves_the_file_is_refused(
    tiff: Writer, big: bool, target: str
) -> None:
    path = tiff(bigtiff=big)
    page = page_of(path)
    form, size = ("<Q", 8) if big else ("<I", 4)
    at = page.offset + (8 if big else 2) + len(page.tags) * (20 if big else 12)
    places = {"itself": page.offset, "header": 4, "beyond": path.stat().st_size + 100}
    patch(path, at, struct.pack(form, places[target])[:size])
    says = {"itself": "form a loop", "header": "inside the header", "beyond": "it is truncated"}
    refused(path, says[target])


def test_a_loop_of_sub_directories_is_refused(tmp_path: Path, pattern: Callable[[int, int], RGB]) -> None:
    path = tmp_path / "pyramid.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(pattern(300, 260), subifds=1, tile=(128, 128), photometric="rgb")
        file.write(pattern(150, 130), subfiletype=1, tile=(128, 128), photometric="rgb")
    with tifffile.TiffFile(path) as file:
        page = file.pages[0].aspage()
        tag, first = page.tags["SubIFDs"], page.offset
    patch(path, tag.valueoffset, struct.pack("<H" if tag.dtype == 3 else "<I", first))
    refused(path, "form a loop")


@pytest.mark.parametrize(
    ("table", "change", "says"),
    [
        ("TileByteCounts", lambda _old, _: 0, "TileByteCounts is 0 for tile 4, which has an offset"),
        ("TileOffsets", lambda _old, _: 3, "inside the header|overlap|begins before"),
        ("TileOffsets", lambda old, _: old + 512, "begins before byte"),
        ("TileOffsets", lambda _, all_: all_[0], "two tiles lie at bytes"),
        ("TileOffsets", lambda _old, _: 2**31, "tile 4 reaches to"),
        ("TileByteCounts", lambda _old, _: 65535, "begins before byte"),
    ],
)
def test_tables_of_tiles_that_cannot_be_are_refused(
    tiff: Writer, table: str, change: Callable[[int, tuple[int, ...]], int], says: str
) -> None:
    path = tiff()
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].aspage().tags[table]
    code = {3: "H", 4: "I"}[tag.dtype]
    patch(
        path,
        tag.valueoffset + 4 * struct.calcsize(code),
        struct.pack("<" + code, change(tag.value[4], tag.value)),
    )
    refused(path, says)


@pytest.mark.parametrize("kind", [2, 5, 7, 9, 11, 12])
@pytest.mark.parametrize("name", ["TileByteCounts", "TileOffsets", "ImageWidth", "BitsPerSample"])
def test_a_field_of_a_wrong_type_is_refused(tiff: Writer, name: str, kind: int) -> None:
    path = tiff()
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].aspage().tags[name]
    patch(path, tag.offset + 2, struct.pack("<H", kind))
    refused(path, f"{name} is of the field type {kind}|reaches")


@pytest.mark.parametrize("keep", [9, 100, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("big", [False, True])
def test_a_cut_file_is_said_to_be_incomplete(tiff: Writer, big: bool, keep: float) -> None:
    path = tiff(bigtiff=big)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    assert "its end is missing" in refused(path, "it is truncated|damaged")


def test_tiles_that_share_their_bytes_are_sound_where_nothing_is_left_over(tmp_path: Path) -> None:
    """Writers that store a blank tile once."""
    image = np.full((256, 256, 3), 240, np.uint8)
    path = tmp_path / "blank.tif"
    tifffile.imwrite(path, image[:128, :128], tile=(128, 128), photometric="rgb", metadata=None)
    first = page_of(path).dataoffsets[0]
    data = path.read_bytes()[first : first + 128 * 128 * 3]
    fields = [
        (256, 3, 1, 256),
        (257, 3, 1, 256),
        (258, 3, 3, 200),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (277, 3, 1, 3),
    ]
    fields += [(322, 3, 1, 128), (323, 3, 1, 128), (324, 4, 4, 206), (325, 4, 4, 222)]
    body = struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + b"".join(
        struct.pack("<HHII", *one) for one in fields
    )
    body = body.ljust(200, b"\0") + struct.pack("<3H4I4I", 8, 8, 8, *[238] * 4, *[len(data)] * 4)
    path.write_bytes(body + data)
    with open_slide(path, reader="tiff") as slide:
        assert (slide.read_level(0, Box(0, 0, 256, 256)) == 240).all()


@pytest.mark.parametrize("samples", [1, 2, 4, 5, 7])
@pytest.mark.parametrize("how", [{"tile": (128, 128)}, {"rowsperstrip": 50}], ids=["tiles", "strips"])
def test_any_number_of_samples_gives_pixels_or_an_error(
    tmp_path: Path, samples: int, how: dict[str, Any]
) -> None:
    path = tmp_path / "samples.tif"
    image = np.arange(260 * 300 * samples, dtype=np.uint8).reshape(260, 300, samples)
    planar: dict[str, Any] = {"planarconfig": "contig"} if samples > 1 else {}
    tifffile.imwrite(path, np.squeeze(image), photometric="minisblack", metadata=None, **planar, **how)
    for reader in ("auto", "tiff", "openslide", "tiffslide", "image"):
        try:
            pixels = read(path, reader=reader)
        except SlideError:
            continue
        assert pixels.shape == (260, 300, 3)


# Plain images


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("spoil", ["cut", "zeros", "bit"])
def test_a_plain_image_with_damage_is_refused(
    tmp_path: Path, pattern: Callable[[int, int], RGB], kind: str, spoil: str
) -> None:
    path = tmp_path / "image"
    Image.fromarray(pattern(300, 260)).save(path, kind)
    assert read(path).shape == (260, 300, 3)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    if spoil == "cut":
        data = data[: len(data) * 9 // 10]
    elif spoil == "zeros":
        data[middle : middle + 512] = bytes(512)
    elif kind == "PNG":
        data[middle] ^= 1
    else:
        data[middle : middle + 2] = b"\xff\xd9"
    path.write_bytes(data)
    assert "Copy or export it again" in refused(path, "the image is damaged")


# Foreign libraries, odd names and things that are no files


def test_a_library_that_crashes_hangs_or_swells_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "slide"
    children = {
        "crashed": "import os; os.abort()",
        "took longer than 1 s": "import sys, signal\nsignal.alarm(int(sys.argv[2]))\nwhile True: pass",
        "asks for more than": "print('memory')",
        "ended with code 3": "import sys; sys.exit(3)",
    }
    monkeypatch.setattr(guard, "_SECONDS", 1)
    for number, (says, code) in enumerate(children.items()):
        path.write_bytes(b"x" * (number + 1))  # what was tried is remembered until the file changes
        monkeypatch.setattr(guard, "_CHILD", code)
        with pytest.raises(SlideError, match=says):
            guard.knows(path)


def test_openslide_is_asked_in_a_child_once_a_file(pyramid: Path, tmp_path: Path) -> None:
    guard._tried.cache_clear()
    assert guard.knows(pyramid)
    assert guard.knows(pyramid)
    assert guard._tried.cache_info().hits == 1
    other = tmp_path / "no slide"
    other.write_text("words")
    assert not guard.knows(other)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_a_socket_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "socket", Path("/dev/null")):
            refused(path, "it is a pipe, socket or device")


def test_names_of_every_kind_open_or_are_refused(tiff: Writer, tmp_path: Path) -> None:
    data = tiff(compression="deflate").read_bytes()
    names = [
        os.fsdecode(b"caf\xe9.tif"),
        "n" * 251 + ".tif",
        "new\nline\t\x01.tif",
        " ",
        "%41#?.tif",
        "ü–𝛼.tif",
    ]
    for name in names:
        path = tmp_path / name
        path.write_bytes(data)
        for reader in ("tiff", "openslide", "tiffslide"):
            if reader == "tiff" or name.isprintable():
                assert read(path, reader=reader).shape == (260, 300, 3)
                continue
            with contextlib.suppress(SlideError):  # what its library does not take
                read(path, reader=reader)
    for name in ("n" * 300, "null\0character"):
        with pytest.raises(SlideError):
            open_slide(tmp_path / name)


# Strips


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
