"""Resolution: filled in, forced, questioned; units that are slips or damaged."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from wsi_nucssl.errors import MissingMpp, SlideError, UsageError
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.mpp import GivenMpp, is_plausible, slip
from wsi_nucssl.slide import Canvas, open_slide, require_mpp
from wsi_nucssl.slide.resolution import doubtful_mpp, require_detail, stated_mpp

READERS = ("tiff", "openslide", "tiffslide")
PIXELS = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)


def write(path: Path, mpp: tuple[float, float] | None = (0.25, 0.25), description: str | None = None) -> Path:
    """A tiled TIFF that states this mpp in px per cm, or none."""
    how: dict[str, Any] = (
        {} if mpp is None else {"resolution": tuple(1e4 / um for um in mpp), "resolutionunit": "CENTIMETER"}
    )
    tifffile.imwrite(
        path, PIXELS, tile=(256, 256), photometric="rgb", description=description, metadata=None, **how
    )
    return path


@pytest.mark.parametrize("reader", READERS)
def test_given_fills_in_only(reader: str, tmp_path: Path) -> None:
    stating, silent = write(tmp_path / "a.tif"), write(tmp_path / "b.tif", None)
    with open_slide(silent, reader=reader, mpp=0.5) as slide:
        assert (slide.mpp, slide.mpp_source) == (Mpp.square(0.5), "given")
    with open_slide(stating, reader=reader, mpp=0.254) as slide:  # within 2 %: what the file says stays
        assert slide.mpp is not None
        assert slide.mpp.x == pytest.approx(0.25)
        assert slide.mpp_source not in ("given", "forced")
    with pytest.raises(SlideError, match=r"states 0\.25 µm per px .* but 0\.5 is given.*`force_mpp`"):
        open_slide(stating, reader=reader, mpp=0.5)


@pytest.mark.parametrize("reader", READERS)
def test_forced_goes_first_and_is_recorded(reader: str, tmp_path: Path) -> None:
    with open_slide(write(tmp_path / "a.tif"), reader=reader, mpp=0.5, force_mpp=True) as slide:
        again = pickle.loads(pickle.dumps(slide))
        for each in (slide, again):
            assert (each.mpp, each.mpp_source, each.is_mpp_forced) == (Mpp.square(0.5), "forced", True)
        again.close()


@pytest.mark.parametrize(
    ("typed", "unit"),
    [
        (0.00025, "mm"),
        (0.0005, "mm"),
        (250, "nm"),
        (500, "nm"),
        (9.84e-06, "inch"),
        (2.5e-05, "cm"),
        (2.5e-07, "m"),
        (40, "a magnification"),
        (20, "a magnification"),
    ],
)
def test_a_slip_of_units_is_named(typed: float, unit: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"it looks like {unit}, which would be 0.[25]"):
        open_slide(write(tmp_path / "a.tif", None), mpp=typed)
    with open_slide(write(tmp_path / "a.tif", None), mpp=typed, force_mpp=True) as slide:
        assert require_mpp(slide).x == typed


@given(st.floats(1e-9, 999))
def test_what_is_plausible_is_no_slip(um: float) -> None:
    """And what a slip is said to mean is plausible."""
    said = slip(um)
    if is_plausible(um):
        assert said == ""
        assert GivenMpp.parse(um).um == um
    else:
        with pytest.raises(UsageError):
            GivenMpp.parse(um)
    if said:
        assert 0.0495 < float(said.split()[-2]) < 4.05


@pytest.mark.parametrize(("stated", "hint"), [(8.0, ""), (4.5, ""), (0.03, "")])
def test_an_odd_resolution_that_is_stated_is_questioned(stated: float, hint: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", (stated, stated))
    with open_slide(path) as slide:
        with pytest.raises(SlideError, match=rf"outside 0\.05 … 4{hint}.*`force_mpp`"):
            require_mpp(slide)
        with pytest.raises(SlideError, match="outside"):
            Canvas(slide, 0.5)
    with open_slide(path, force_mpp=True) as slide:
        assert require_mpp(slide).x == pytest.approx(stated)
    with open_slide(path, mpp=0.5, force_mpp=True) as slide:
        assert require_mpp(slide) == Mpp.square(0.5)


def test_millimetres_in_the_file_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.svs", None, "Aperio Image Library v1\n400x300|MPP = 0.00025|AppMag = 40")
    with (
        open_slide(path) as slide,
        pytest.raises(SlideError, match=r"looks like mm, which would be 0\.25 µm"),
    ):
        require_mpp(slide)
    with pytest.raises(SlideError, match="looks like mm"):
        open_slide(path, mpp=0.25)


def test_a_printing_density_says_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", (352.8, 352.8))
    for reader in READERS:
        with open_slide(path, reader=reader) as slide, pytest.raises(MissingMpp, match="`mpp`"):
            require_mpp(slide)
        with open_slide(path, reader=reader, mpp=0.25) as slide:
            assert require_mpp(slide) == Mpp.square(0.25)


_ENTRY = {
    "another tag": (0, struct.pack("<H", 65000)),
    "an unknown unit": (8, struct.pack("<H", 7)),
    "no unit": (8, struct.pack("<H", 1)),
    "zero": (8, struct.pack("<H", 0)),
    "another type": (2, struct.pack("<H", 12)),
    "another count": (4, struct.pack("<I", 9)),
}


@pytest.mark.parametrize("damage", _ENTRY)
@pytest.mark.parametrize("reader", [*READERS, "image"])
@pytest.mark.filterwarnings("ignore")  # tifffile and Pillow warn of the damage, too
def test_a_damaged_unit_is_never_taken_for_inches(damage: str, reader: str, tmp_path: Path) -> None:
    """40,000 px per cm are 0.25 µm; as px per inch they would pass for 0.635."""
    path = write(tmp_path / "a.tif")
    with tifffile.TiffFile(path) as tiff:
        entry = tiff.pages.first.tags["ResolutionUnit"].offset
    where, what = _ENTRY[damage]
    content = bytearray(path.read_bytes())
    content[entry + where : entry + where + len(what)] = what
    path.write_bytes(content)
    try:
        slide = open_slide(path, reader=reader)
    except SlideError:
        return  # refused as damaged
    with slide:
        assert slide.mpp is None
        with pytest.raises(MissingMpp):
            require_mpp(slide)


@pytest.mark.parametrize("reader", [*READERS, "image"])
def test_inches_that_are_stated_are_inches(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    resolution = (25_400 / 0.25, 25_400 / 0.5)
    tifffile.imwrite(
        path, PIXELS, tile=(256, 256), photometric="rgb", resolution=resolution, resolutionunit="INCH"
    )
    with open_slide(path, reader=reader) as slide:
        assert slide.mpp is not None
        assert (slide.mpp.x, slide.mpp.y) == pytest.approx((0.25, 0.5))


def test_enlarging_more_than_three_times_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", (1.0, 1.6))
    with open_slide(path) as slide:
        require_detail(slide, Mpp.square(0.6))
        with pytest.raises(SlideError, match=r"enlarged 3\.2 times to the 0\.5 µm"):
            require_detail(slide, Mpp.square(0.5))
    with open_slide(path, force_mpp=True) as slide:
        require_detail(slide, Mpp.square(0.25))


def test_a_file_that_contradicts_itself_is_in_doubt(tmp_path: Path) -> None:
    agreeing = "Aperio Image Library v1\n400x300|MPP = 0.2520|AppMag = 40"
    halved = "Aperio Image Library v1\n400x300|MPP = 0.5|AppMag = 20"
    odd = "Aperio Image Library v1\n400x300|MPP = 1.0|AppMag = 40"
    said: list[str] = []
    for index, (mpp, description) in enumerate(
        [((0.25, 0.25), agreeing), ((0.25, 0.25), halved), (None, odd)]
    ):
        with open_slide(write(tmp_path / f"{index}.svs", mpp, description)) as slide:
            doubt = doubtful_mpp(slide)
            said.append(doubt.what if doubt else "")
    assert said[0] == ""
    assert "also 0.25 (tiff.XResolution)" in said[1]
    assert "an objective of 40×, which makes about 0.25" in said[2]


def test_real_slides_are_not_in_doubt(cmu_slide: Path, tcga_slide: Path) -> None:
    for path in (cmu_slide, tcga_slide):
        with open_slide(path) as slide:
            assert doubtful_mpp(slide) is None


@given(st.dictionaries(st.sampled_from(["aperio.MPP", "openslide.mpp-x", "openslide.mpp-y"]), st.text()))
def test_whatever_the_properties_hold_is_a_resolution_or_none(properties: dict[str, str]) -> None:
    mpp, source = stated_mpp(properties)
    assert (mpp is None) == (source == "")
