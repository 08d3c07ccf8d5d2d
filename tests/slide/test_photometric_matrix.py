"""Every way to store a picture in a TIFF gives its colours, or is refused by the words that say how it is stored."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.slide import RGB, open_slide
from wsi_nucssl.slide.readers import strict_jpeg
from wsi_nucssl.testing.slide_readers import pattern

SIZE = Size(70, 50)
TRUTH = pattern(SIZE)
GREY = np.repeat(TRUTH[..., :1], 3, axis=2)
REFUSAL = re.compile(r"photometric \S+, .*\d+.* bits.*, \d+ samples, compression \S+")
BYTES = (None, "lzw", "deflate", "zstd", "packbits", "lzma")
LAYOUTS: tuple[dict[str, Any], ...] = ({"tile": (32, 32)}, {"rowsperstrip": 16})


@dataclass(frozen=True)
class Case:
    """Stored samples, how tifffile writes them, and the colours that they mean (None: to be refused)."""

    name: str
    samples: NDArray[Any]
    how: dict[str, Any]
    truth: RGB | None
    tolerance: float = 1
    layout: dict[str, Any] = field(default_factory=dict)


def _deep(image: RGB, bits: int) -> NDArray[np.uint16]:
    return np.asarray(np.rint(image * ((2**bits - 1) / 255)), np.uint16)


def _kinds() -> Iterator[Case]:
    """What samples can mean; each is stored in several ways."""
    rgb, grey = {"photometric": "rgb"}, {"photometric": "minisblack"}
    yield Case("rgb8", TRUTH, rgb, TRUTH, 0)
    yield Case("grey8", TRUTH[..., 0], grey, GREY, 0)
    yield Case("white-is-zero8", 255 - TRUTH[..., 0], {"photometric": "miniswhite"}, GREY, 0)
    for bits in (10, 12, 14, 16):
        full = np.array(TRUTH)
        full[0, 0] = 255
        yield Case(f"rgb{bits}in16", _deep(full, bits), rgb, full)
        yield Case(f"grey{bits}in16", _deep(full[..., 0], bits), grey, np.repeat(full[..., :1], 3, axis=2))
    for float_type in (np.float16, np.float32, np.float64):
        yield Case(f"rgb-{float_type.__name__}", (TRUTH / 255).astype(float_type), rgb, TRUTH)
        yield Case(f"grey-{float_type.__name__}", (TRUTH[..., 0] / 255).astype(float_type), grey, GREY)
    yield Case(
        "white-is-zero16", 65535 - TRUTH[..., 0] * np.uint16(257), {"photometric": "miniswhite"}, GREY, 0
    )
    yield Case("rgb32", TRUTH * np.uint32(16843009), rgb, TRUTH)
    yield Case("signed", TRUTH.astype(np.int16), rgb, None)
    yield Case("floats-to-255", TRUTH.astype(np.float32), rgb, None)
    palette = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
    colours = palette[:, TRUTH[..., 0]].transpose(1, 2, 0).astype(np.uint8)
    how = {"photometric": "palette", "colormap": palette * 257}
    yield Case("palette", TRUTH[..., 0], how, colours, 0)
    yield from _inks_and_alpha()


def _inks_and_alpha() -> Iterator[Case]:
    cmyk = np.dstack([255 - TRUTH, np.full(TRUTH.shape[:2], 51, np.uint8)])
    printed = np.rint(TRUTH * (204 / 255)).astype(np.uint8)
    yield Case("cmyk8", cmyk, {"photometric": "separated"}, printed)
    yield Case("cmyk16", cmyk * np.uint16(257), {"photometric": "separated"}, printed)
    alpha = np.full((*TRUTH.shape[:2], 1), 102, np.uint8)
    alpha[:, :20] = 255
    over = np.rint(TRUTH * (alpha / 255) + 255 - alpha).astype(np.uint8)
    grey_over = np.repeat(over[..., :1], 3, axis=2)
    under = np.rint(TRUTH * (alpha / 255)).astype(np.uint8)
    for scale in (np.uint8(1), np.uint16(257)):
        for kind, stored in (("unassalpha", TRUTH), ("assocalpha", under)):
            how = {"photometric": "rgb", "extrasamples": [kind]}
            yield Case(f"rgb-{kind}-{scale}", np.dstack([stored, alpha]) * scale, how, over)
        how = {"photometric": "minisblack", "extrasamples": ["unassalpha"], "planarconfig": "contig"}
        yield Case(f"grey-alpha-{scale}", np.dstack([TRUTH[..., :1], alpha]) * scale, how, grey_over)
    unsaid = {"photometric": "rgb", "extrasamples": ["unspecified"]}
    yield Case("unspecified", np.dstack([TRUTH, alpha]), unsaid, None)
    yield Case("lab", TRUTH, {"photometric": "cielab"}, None)
    yield Case("two-greys", TRUTH[..., :2], {"photometric": "minisblack", "planarconfig": "contig"}, None)


def _cases() -> Iterator[Case]:
    for kind, layout, compression, order in itertools.product(_kinds(), LAYOUTS, BYTES, "<>"):
        if order == ">" and (kind.samples.dtype.itemsize == 1 or compression in ("zstd", "lzma")):
            continue
        how = {**kind.how, **layout, "compression": compression}
        yield Case(
            f"{kind.name} {how} {order}", kind.samples, how, kind.truth, kind.tolerance, {"byteorder": order}
        )
    for kind, layout, compression in itertools.product(_kinds(), LAYOUTS, ("lzw", "deflate")):
        how = {**kind.how, **layout, "compression": compression, "predictor": True}
        yield Case(f"{kind.name} {how}", kind.samples, how, kind.truth, kind.tolerance)
    for kind, layout, compression in itertools.product(_kinds(), LAYOUTS, (None, "deflate")):
        if kind.samples.ndim == 3:
            how = {**kind.how, **layout, "compression": compression, "planarconfig": "separate"}
            yield Case(
                f"planes {kind.name} {how}", kind.samples.transpose(2, 0, 1), how, kind.truth, kind.tolerance
            )
    yield from _packed()
    yield from _pictures()


def _packed() -> Iterator[Case]:
    for bits, layout, order in itertools.product((1, 2, 4, 6, 10, 12, 14), LAYOUTS, "<>"):
        if order == ">" and bits > 8:  # tifffile swaps the bytes of packed samples, which have no order
            continue
        coarse = np.rint(TRUTH[..., 0] * ((2**bits - 1) / 255)).astype(np.uint8 if bits < 8 else np.uint16)
        seen = np.rint(coarse * (255 / (2**bits - 1))).astype(np.uint8)[..., None].repeat(3, axis=2)
        for photometric, truth in (("minisblack", seen), ("miniswhite", 255 - seen)):
            how = {"photometric": photometric, "bitspersample": bits, **layout}
            yield Case(f"packed {how} {order}", coarse, how, truth, 1, {"byteorder": order})


def _pictures() -> Iterator[Case]:
    for kind, layout in itertools.product(_kinds(), LAYOUTS):
        for compression, args, tolerance in (
            ("png", {}, kind.tolerance),
            ("jpegxl", {"lossless": True}, kind.tolerance),
            ("jpeg2000", {"reversible": True}, kind.tolerance),
            ("webp", {"lossless": True}, kind.tolerance),
            ("jpeg", {"level": 98}, 40),
            ("jpegxr", {}, kind.tolerance),
            ("lerc", {}, kind.tolerance),
        ):
            how = {**kind.how, **layout, "compression": compression, "compressionargs": args}
            yield Case(f"{kind.name} {how}", kind.samples, how, kind.truth, tolerance)


def _written(case: Case, path: Path) -> bool:
    """False for what tifffile does not write."""
    try:
        with tifffile.TiffWriter(path, **case.layout) as tiff:
            tiff.write(case.samples, metadata=None, **case.how)
    except (ValueError, TypeError, RuntimeError, KeyError, tifffile.TiffFileError):
        return False
    return True


def _outcome(case: Case, path: Path) -> str:
    """ "right", "refused", or what is wrong."""
    try:
        with open_slide(path) as slide:
            got = slide.read_level(0, Box(0, 0, SIZE.width, SIZE.height))
            part = slide.read_level(0, Box(40, 20, SIZE.width, SIZE.height))
    except SlideError as error:
        words = str(error)
        named = REFUSAL.search(words) or "floats from" in words
        return "refused" if named else f"is refused without a reason: {words}"
    if case.truth is None:
        return "is read, though nobody knows its colours"
    off = np.abs(got.astype(int) - case.truth)
    if off.max() > case.tolerance or off.mean() > 3:
        return f"is wrong by {off.max()}, {off.mean():.2f} on average"
    return "right" if np.array_equal(part, got[20:, 40:]) else "is read differently in parts"


def test_known_pixels_come_back_or_are_refused_by_name(tmp_path: Path) -> None:
    outcomes: dict[str, str] = {}
    for index, case in enumerate(_cases()):
        path = tmp_path / f"{index}.tif"
        if _written(case, path):
            outcomes[case.name] = _outcome(case, path)
    wrong = {name: outcome for name, outcome in outcomes.items() if outcome not in ("right", "refused")}
    assert not wrong
    right = sum(outcome == "right" for outcome in outcomes.values())
    assert len(outcomes) >= 600
    assert right >= 0.75 * len(outcomes), f"{right} of {len(outcomes)}"


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2), (4, 2)])
@pytest.mark.parametrize("compression", [1, 5, 8])
def test_subsampled_ycbcr_without_jpeg(
    tmp_path: Path, subsampling: tuple[int, int], compression: int
) -> None:
    """Blocks of one colour each, so that every pixel's colour is known: BT.709, as its tag says."""
    across, down = subsampling
    width, height, coefficients = 22, 14, (0.2126, 0.7152, 0.0722)
    rng = np.random.default_rng(0)
    rows, cols = -(-height // down), -(-width // across)
    luma = rng.integers(60, 200, (rows * down, cols * across))
    chroma = rng.integers(100, 156, (rows, cols, 2))
    data = bytearray()
    truth = np.zeros((rows * down, cols * across, 3), np.uint8)
    for row, col in itertools.product(range(rows), range(cols)):
        for y, x in itertools.product(range(down), range(across)):
            place = row * down + y, col * across + x
            data.append(luma[place])
            truth[place] = _rgb_of(
                int(luma[place]), int(chroma[row, col, 0]), int(chroma[row, col, 1]), coefficients
            )
        data.extend(int(c) for c in chroma[row, col])
    encode: Any = {1: bytes, 5: imagecodecs.lzw_encode, 8: imagecodecs.zlib_encode}[compression]
    stored = encode(bytes(data))
    tags = {
        256: width,
        257: height,
        259: compression,
        262: 6,
        277: 3,
        278: height,
        530: subsampling,
        258: (8, 8, 8),
    }
    _write_tags(tmp_path / "blocks.tif", tags, stored, coefficients)
    with open_slide(tmp_path / "blocks.tif") as slide:
        got = slide.read_level(0, Box(0, 0, width, height)).astype(int)
    assert np.abs(got - truth[:height, :width]).max() <= 1


def _rgb_of(luma: int, cb: int, cr: int, coefficients: tuple[float, float, float]) -> list[int]:
    """TIFF 6.0, section 21, for one pixel."""
    of_red, of_green, of_blue = coefficients
    red = luma + (cr - 128) * (2 - 2 * of_red)
    blue = luma + (cb - 128) * (2 - 2 * of_blue)
    green = (luma - of_blue * blue - of_red * red) / of_green
    return [min(255, max(0, round(value))) for value in (red, green, blue)]


def _write_tags(path: Path, tags: dict[int, Any], data: bytes, coefficients: tuple[float, ...]) -> None:
    """A TIFF of one strip, tag by tag."""
    at = 8 + len(data) + len(data) % 2
    fractions = b"".join(struct.pack("<II", round(value * 10_000), 10_000) for value in coefficients)
    places = {529: (5, 3, at), 258: (3, 3, at + len(fractions)), 273: (4, 1, 8), 279: (4, 1, len(data))}
    entries = {tag: places.get(tag) or (3, 1, value) for tag, value in tags.items() if tag != 530}
    entries |= places
    directory = at + len(fractions) + 6 + 2
    with path.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, directory) + data.ljust(at - 8, b"\0") + fractions)
        file.write(struct.pack("<HHHH", 8, 8, 8, 0) + struct.pack("<H", len(entries) + 1))
        for tag in sorted([*entries, 530]):
            kind, count, value = entries.get(tag, (3, 2, 0))
            if tag == 530:
                file.write(struct.pack("<HHIHH", tag, kind, count, *tags[530]))
            else:
                file.write(struct.pack("<HHII", tag, kind, count, value))
        file.write(struct.pack("<I", 0))


def test_a_sample_brighter_than_those_that_were_seen_is_an_error(tmp_path: Path) -> None:
    deep = np.full((16 * 200, 16), 3000, np.uint16)
    deep[16 * 151 :] = 60_000
    deep[16 * 152 :] = 3000
    tifffile.imwrite(tmp_path / "dark.tif", deep, photometric="minisblack", tile=(16, 16), metadata=None)
    with open_slide(tmp_path / "dark.tif") as slide:
        assert (slide.read_level(0, Box(0, 0, 16, 16)) == round(3000 * 255 / 4095)).all()
        with pytest.raises(SlideError, match="a sample of 60000, above its white of 4095"):
            slide.read_level(0, Box(0, 16 * 151, 16, 16 * 152))


def test_inks_in_jpeg_are_cmyk_and_ycck_is_refused(tmp_path: Path) -> None:
    """Adobe's marker says with its last byte what the four samples are."""
    inks = np.full((32, 32, 4), (10, 60, 120, 30), np.uint8)
    how: dict[str, Any] = {
        "photometric": "separated",
        "tile": (32, 32),
        "compression": "jpeg",
        "metadata": None,
    }
    tifffile.imwrite(tmp_path / "cmyk.tif", inks, compressionargs={"level": 98}, **how)
    with open_slide(tmp_path / "cmyk.tif") as slide:
        got = slide.read_level(0, Box(0, 0, 32, 32))
    assert np.abs(got[8, 8].astype(int) - [216, 172, 119]).max() <= 2
    stream = bytes(imagecodecs.jpeg8_encode(inks, level=98))
    for transform, is_read in ((b"\0", True), (b"\2", False)):
        marked = stream[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + transform + stream[2:]
        if is_read:
            strict_jpeg.decode(marked, None, ((32, 32),), 4, stored_as_is=False)
        else:
            with pytest.raises(strict_jpeg.JpegDamage, match="YCCK"):
                strict_jpeg.decode(marked, None, ((32, 32),), 4, stored_as_is=False)
