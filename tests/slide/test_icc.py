"""ICC profiles are named and change no pixel."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from wsi_nucssl.geometry import Box
from wsi_nucssl.slide import RGB, describe, open_slide
from wsi_nucssl.slide.icc import in_words

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
WHOLE = Box(0, 0, 300, 260)


def _profile(description: bytes) -> bytes:
    """The least that a profile is: a header, and one tag."""
    head = bytearray(128)
    head[16:20], head[36:40] = b"RGB ", b"acsp"
    return bytes(head) + struct.pack(">I4sII", 1, b"desc", 144, len(description)) + description


@pytest.mark.parametrize("reader", ["tiff", "openslide", "tiffslide", "image"])
def test_a_slide_names_its_profile_and_keeps_its_pixels(
    tmp_path: Path, pattern: Callable[[int, int], RGB], reader: str
) -> None:
    path, image = tmp_path / "slide.tif", pattern(300, 260)
    tifffile.imwrite(path, image, tile=(128, 128), photometric="rgb", metadata=None, iccprofile=SRGB)
    with open_slide(path, reader=reader) as slide:
        assert slide.properties["icc.Profile"] == f"sRGB built-in (RGB, {len(SRGB)} bytes)"
        assert describe(slide).icc_profile == slide.properties["icc.Profile"]
        assert np.array_equal(slide.read_level(0, WHOLE), image)


def test_a_picture_names_its_profile(tmp_path: Path, pattern: Callable[[int, int], RGB]) -> None:
    for name, profile in (("with.png", SRGB), ("without.png", None)):
        Image.fromarray(pattern(300, 260)).save(tmp_path / name, icc_profile=profile)
    with open_slide(tmp_path / "with.png") as slide, open_slide(tmp_path / "without.png") as other:
        assert describe(slide).icc_profile.startswith("sRGB built-in (RGB")
        assert describe(other).icc_profile == ""
        assert np.array_equal(slide.read_level(0, WHOLE), other.read_level(0, WHOLE))


def test_both_versions_of_a_description_are_read() -> None:
    second = b"desc" + bytes(4) + struct.pack(">I", 9) + b"Scanner A\0"
    fourth = (
        b"mluc"
        + bytes(4)
        + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 18, 28)
        + "Scanner B".encode("utf-16-be")
    )
    assert in_words(_profile(second)) == f"Scanner A (RGB, {len(_profile(second))} bytes)"
    assert in_words(_profile(fourth)) == f"Scanner B (RGB, {len(_profile(fourth))} bytes)"
    assert in_words(_profile(b"none")).startswith("without a name (RGB")
    assert in_words(b"") == "damaged (0 bytes)"


@given(st.binary(max_size=40), st.integers(0, 2**32 - 1), st.integers(0, 200))
def test_no_profile_is_a_traceback(junk: bytes, number: int, cut: int) -> None:
    profile = bytearray(_profile(b"mluc" + struct.pack(">I", number) + junk))
    profile[128:132] = struct.pack(">I", number)
    for data in (bytes(profile), bytes(profile[:cut]), junk):
        assert in_words(data).endswith(f"{len(data)} bytes)")
        assert in_words(data).isprintable()


def test_a_damaged_profile_in_a_file_is_said(tmp_path: Path, pattern: Callable[[int, int], RGB]) -> None:
    file = io.BytesIO()
    tifffile.imwrite(
        file, pattern(300, 260), tile=(128, 128), photometric="rgb", metadata=None, iccprofile=SRGB[50:]
    )
    (tmp_path / "slide.tif").write_bytes(file.getvalue())
    with open_slide(tmp_path / "slide.tif") as slide:
        assert slide.properties["icc.Profile"] == f"damaged ({len(SRGB) - 50} bytes)"
