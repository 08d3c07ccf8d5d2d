"""TIFF directories that cannot be: each is refused by its field, before memory is taken; sound ones pass."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.slide.damage import Writer, page_of, patch, read, refused
from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box
from wsi_nucssl.slide import RGB, open_slide


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


@pytest.mark.parametrize("how", [{"tile": None, "rowsperstrip": 37}, {"tile": (64, 64)}])
@pytest.mark.parametrize("moved", [-1, 1, 8])
def test_an_offset_that_moves_by_a_few_bytes_into_padding_is_refused(
    tmp_path: Path, pattern: Callable[[int, int], RGB], how: dict[str, Any], moved: int
) -> None:
    """Uncompressed pixels are pixels at any byte; only their neighbours tell."""
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, pattern(300, 260), photometric="rgb", metadata=None, **how)
    data = path.read_bytes()
    page = page_of(path)
    tag = page.tags["StripOffsets" if how["tile"] is None else "TileOffsets"]
    index = 0 if moved < 0 else len(page.dataoffsets) - 1
    assert np.array_equal(read(path), pattern(300, 260))
    path.write_bytes(data + bytes(16))  # room behind the last one
    patch(path, tag.valueoffset + 4 * index, struct.pack("<I", page.dataoffsets[index] + moved))
    refused(path, "lie end to end")
