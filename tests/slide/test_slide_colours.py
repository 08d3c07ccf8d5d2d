"""TIFFs of every photometric kind: the true colours, or an error that names the kind; and which page is the slide."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests.cli.commands import SAMPLE
from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box
from wsi_nucssl.slide import RGB, Canvas, open_slide

LAYOUTS: Final[dict[str, dict[str, Any]]] = {"strips": {"rowsperstrip": 16}, "tiles": {"tile": (64, 64)}}
COMPRESSIONS: Final = (None, "deflate", "lzw", "zstd")
STATED: Final[dict[str, Any]] = {
    "resolution": (40000, 40000),
    "resolutionunit": "CENTIMETER",
    "metadata": None,
}


@pytest.fixture(scope="module")
def pixels() -> RGB:
    with open_slide(SAMPLE) as slide:
        return slide.read_level(0, Box(1000, 1000, 1160, 1100))


def _kinds(rgb: RGB) -> dict[str, tuple[NDArray[Any], dict[str, Any], RGB]]:
    """Each kind: the samples as stored, how the file says so, and the true RGB."""
    grey = np.asarray(Image.fromarray(rgb).convert("L"))
    as_rgb = np.repeat(grey[..., None], 3, axis=2)
    palette = Image.fromarray(rgb).quantize(256)
    table = np.pad(np.array(palette.getpalette(), np.uint16), (0, 768))[:768].reshape(256, 3)
    indices = np.asarray(palette)
    alpha = np.concatenate([rgb, np.full((*rgb.shape[:2], 1), 255, np.uint8)], axis=2)
    return {
        "rgb": (rgb, {"photometric": "rgb"}, rgb),
        "rgb, alpha": (alpha, {"photometric": "rgb", "extrasamples": ["unassalpha"]}, rgb),
        "rgb, channel by channel": (
            np.ascontiguousarray(rgb.transpose(2, 0, 1)),
            {"photometric": "rgb", "planarconfig": "separate"},
            rgb,
        ),
        "rgb, 16 bits": (rgb.astype(np.uint16) * 257, {"photometric": "rgb"}, rgb),
        "rgb, 12 bits in 16": (rgb.astype(np.uint16) * 16, {"photometric": "rgb"}, rgb),
        "rgb, float": ((rgb / 255).astype(np.float32), {"photometric": "rgb"}, rgb),
        "rgb, signed": ((rgb // 2).astype(np.int8), {"photometric": "rgb"}, rgb),
        "grey": (grey, {"photometric": "minisblack"}, as_rgb),
        "grey, 16 bits": (grey.astype(np.uint16) * 257, {"photometric": "minisblack"}, as_rgb),
        "grey, float": ((grey / 255).astype(np.float32), {"photometric": "minisblack"}, as_rgb),
        "white is zero": (255 - grey, {"photometric": "miniswhite"}, as_rgb),
        "palette": (
            indices,
            {"photometric": "palette", "colormap": table.T * 257},
            table.astype(np.uint8)[indices],
        ),
        "cmyk": (np.asarray(Image.fromarray(rgb).convert("CMYK")), {"photometric": "separated"}, rgb),
    }


KINDS: Final = tuple(_kinds(np.zeros((2, 2, 3), np.uint8)))
CERTAIN: Final = ("rgb", "rgb, alpha", "grey")
"""What has to be read; of others the colours may be refused."""


def _read(path: Path) -> RGB | str:
    """The pixels, or why they are refused."""
    try:
        slide = open_slide(path)
    except SlideError as error:
        return str(error)
    with slide:
        assert slide.mpp is not None
        assert slide.mpp.x == pytest.approx(0.25)
        return slide.read_level(0, Box(0, 0, 160, 100))


@pytest.mark.parametrize("kind", KINDS)
def test_colours_are_true_or_refused_in_words(kind: str, pixels: RGB, tmp_path: Path) -> None:
    samples, said, truth = _kinds(pixels)[kind]
    right = 0
    matrix = product(LAYOUTS.values(), COMPRESSIONS, (("<", False), (">", True)), (False, True))
    for number, (layout, compression, (byteorder, big), predictor) in enumerate(matrix):
        path = tmp_path / f"{number}.tif"
        more: dict[str, Any] = {"predictor": True} if predictor and compression else {}
        if predictor and (not compression or samples.dtype.kind == "f"):
            continue
        tifffile.imwrite(
            path,
            samples,
            **STATED,
            **said,
            **layout,
            **more,
            compression=compression,
            byteorder=byteorder,
            bigtiff=big,
        )
        found = _read(path)
        if isinstance(found, str):
            assert kind not in CERTAIN, (layout, compression, byteorder, found)
            assert str(path) in found
            assert any(word in found for word in ("photometric", "bits", "channel by channel", "apart"))
            continue
        difference = np.abs(found.astype(int) - truth).max()
        assert difference <= 1, (kind, layout, compression, byteorder, predictor, big)
        right += 1
    assert kind not in CERTAIN or right >= 28
    assert right or kind not in ("palette", "cmyk", "white is zero")


def test_a_preview_in_front_is_not_the_slide(pixels: RGB, tmp_path: Path) -> None:
    path = tmp_path / "preview.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(pixels[::4, ::4], subfiletype=1, photometric="rgb", tile=(64, 64), metadata=None)
        file.write(pixels, photometric="rgb", tile=(64, 64), **STATED)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read_level(0, Box(0, 0, 160, 100)), pixels)
        assert slide.mpp is not None
        assert slide.mpp.x == pytest.approx(0.25)


def test_of_a_focus_stack_the_first_plane_is_read_at_every_resolution(pixels: RGB, tmp_path: Path) -> None:
    """Aperio writes plane behind plane, each with its own reduced copies."""
    text = "Aperio Image Library v11.2.1\n160x100 (64x64) RAW|AppMag = 40|MPP = 0.25"
    path = tmp_path / "stack.svs"
    blurred = [pixels, cv2.GaussianBlur(pixels, (0, 0), 4), cv2.GaussianBlur(pixels, (0, 0), 9)]
    with tifffile.TiffWriter(path) as file:
        for plane in blurred:
            for picture in (plane, plane[::2, ::2]):
                file.write(picture, photometric="rgb", description=text, metadata=None, tile=(64, 64))
    with open_slide(path) as slide:
        assert len(slide.levels) == 2
        whole = Canvas(slide, 0.25).read(Box(0, 0, 160, 100))
        half = Canvas(slide, 0.5).read(Box(0, 0, 80, 50))
    np.testing.assert_array_equal(whole, pixels)
    np.testing.assert_array_equal(half, pixels[::2, ::2])


def test_channels_as_planes_are_no_slide(pixels: RGB, tmp_path: Path) -> None:
    path = tmp_path / "channels.ome.tif"
    tifffile.imwrite(
        path,
        np.ascontiguousarray(pixels.transpose(2, 0, 1)),
        ome=True,
        metadata={"axes": "CYX"},
        photometric="minisblack",
        tile=(64, 64),
    )
    with pytest.raises(SlideError, match="planes of one size"):
        open_slide(path)
