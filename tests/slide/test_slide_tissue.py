"""The tissue mask on slides made of known tissue, and on real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Mpp, Size
from wsi_nucssl.mpp import GivenMpp
from wsi_nucssl.slide import RGB, TissueMask, open_slide, tissue_mask
from wsi_nucssl.slide.reader import Reader, SlideMetadata

GLASS = (243, 243, 241)
EOSIN = (225, 160, 195)


class Painted(Reader):
    """A slide of one level, glass with rectangles of tissue, made up as it is read."""

    name = "painted"

    def __init__(
        self, size: Size, tissue: list[Box], glass: tuple[int, int, int] = GLASS, mpp: float = 0.25
    ) -> None:
        super().__init__(Path("painted"), SlideMetadata((size,), "test", {}, ()), GivenMpp(mpp))
        self.tissue, self.glass = tissue, glass
        self.largest_read = 0

    def _decode(self, level: int, box: Box) -> RGB:  # noqa: ARG002
        self.largest_read = max(self.largest_read, box.size.area)
        image = np.empty((*box.size.shape_rc, 3), np.uint8)
        image[:] = self.glass
        noise = np.random.default_rng(box.x0 * 7919 + box.y0).integers(-3, 4, image.shape[:2])
        image = np.asarray(np.clip(image + noise[..., None], 0, 255), np.uint8)
        for part in self.tissue:
            image[part.clip(box).relative_to(box.origin).rc] = EOSIN
        return image

    def _decode_associated(self, name: str) -> RGB:
        raise KeyError(name)

    def close(self) -> None:
        pass


def test_glass_alone_is_empty() -> None:
    for glass in (GLASS, (255, 255, 255), (235, 238, 222), (214, 214, 214)):
        mask = tissue_mask(Painted(Size(3000, 2000), [], glass))
        assert mask.fraction == 0
        assert mask.area_mm2 == 0
        assert mask.coverage(Box(0, 0, 3000, 2000)) == 0


def test_tissue_alone_is_all_tissue() -> None:
    everything = Box(0, 0, 3000, 2000)
    mask = tissue_mask(Painted(everything.size, [everything]))
    assert mask.fraction == 1
    assert mask.coverage(everything) == 1


def test_a_rectangle_is_found_in_its_place() -> None:
    part = Box(1000, 600, 4200, 3000)
    mask = tissue_mask(Painted(Size(6000, 5000), [part]))
    assert mask.scale == 16
    assert mask.mpp == Mpp.square(4.0)
    assert mask.area_mm2 == pytest.approx(part.size.area * 0.25**2 / 1e6, rel=0.05)
    assert mask.coverage(Box(1100, 700, 4100, 2900)) == 1
    assert mask.coverage(Box(0, 0, 6000, 500)) == 0
    assert mask.coverage(Box(4600, 0, 6000, 5000)) == 0


def test_specks_go_and_small_holes_are_filled() -> None:
    tissue = Box(800, 800, 4000, 4000)
    speck = Box(5000, 5000, 5060, 5060)
    frame = [
        Box(800, 800, 4000, 2000),
        Box(800, 2100, 4000, 4000),
        Box(800, 2000, 2000, 2100),
        Box(2100, 2000, 4000, 2100),
    ]
    mask = tissue_mask(Painted(Size(6000, 6000), [*frame, speck]))
    assert mask.coverage(speck) == 0
    assert mask.coverage(Box(2000, 2000, 2100, 2100)) == 1
    assert mask.coverage(tissue) > 0.99


def test_a_fragment_is_no_speck_because_the_slide_is_large() -> None:
    fragment = Box(4000, 400, 4320, 720)
    for width in (6000, 66_000):
        assert tissue_mask(Painted(Size(width, 1200), [fragment])).coverage(fragment) > 0.8


def test_a_large_slide_is_read_in_bounded_pieces() -> None:
    slide = Painted(Size(12_000, 9_000), [Box(3000, 3000, 6000, 6000)])
    assert tissue_mask(slide).coverage(Box(3200, 3200, 5800, 5800)) == 1
    assert slide.largest_read <= 2200**2


def test_the_mask_of_a_huge_slide_is_no_larger() -> None:
    mask = TissueMask.everywhere(Painted(Size(400_000, 200_000), []))
    assert max(mask.mask.shape) <= 2048
    assert mask.fraction == 1
    assert mask.coverage(Box(0, 0, 400_000, 200_000)) == 1


@settings(deadline=None)
@given(data=st.data(), scale=st.sampled_from([1.0, 4.0, 7.0]))
def test_coverage_is_the_area_of_the_overlap(data: st.DataObject, scale: float) -> None:
    rows, cols = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    bits = data.draw(st.lists(st.booleans(), min_size=rows * cols, max_size=rows * cols))
    mask = np.array(bits).reshape(rows, cols)
    x0, x1 = sorted(data.draw(st.tuples(st.integers(-5, 50), st.integers(-5, 50))))
    y0, y1 = sorted(data.draw(st.tuples(st.integers(-5, 50), st.integers(-5, 50))))
    if x0 == x1 or y0 == y1:
        assert TissueMask(mask, scale, None).coverage(Box(x0, y0, x1, y1)) == 0
        return
    overlap = 0.0
    for row, col in np.argwhere(mask):
        width = min(x1, (col + 1) * scale) - max(x0, col * scale)
        height = min(y1, (row + 1) * scale) - max(y0, row * scale)
        overlap += max(0.0, width) * max(0.0, height)
    got = TissueMask(mask, scale, None).coverage(Box(x0, y0, x1, y1))
    assert got == pytest.approx(overlap / ((x1 - x0) * (y1 - y0)), abs=1e-9)


def test_a_mask_is_two_dimensional_and_boolean() -> None:
    with pytest.raises(UsageError, match="2-D bool"):
        TissueMask(np.zeros((3, 3), np.uint8), 1.0, None)


def test_every_monuseg_image_is_tissue(monuseg: Path) -> None:
    for path in sorted((monuseg / "images").iterdir()):
        assert tissue_mask(open_slide(path, mpp=0.25)).fraction > 0.97, path.name


@pytest.mark.parametrize(
    ("fixture", "low", "high", "glass", "tissue"),
    [
        ("cmu_slide", 0.33, 0.45, Box(0, 1300, 450, 2900), Box(850, 1700, 1100, 2500)),
        ("tcga_slide", 0.6, 0.72, Box(0, 2800, 500, 3500), Box(1000, 1000, 2000, 2000)),
    ],
)
def test_real_slides(
    request: pytest.FixtureRequest, fixture: str, low: float, high: float, glass: Box, tissue: Box
) -> None:
    with open_slide(request.getfixturevalue(fixture)) as slide:
        mask = tissue_mask(slide)
    assert low < mask.fraction < high
    assert mask.coverage(glass) == 0
    assert mask.coverage(tissue) == 1
    assert (mask.area_mm2 is None) == (slide.mpp is None)


def test_the_mask_is_the_same_on_every_reader(tissue_svs: Path) -> None:
    with open_slide(tissue_svs) as fast, open_slide(tissue_svs, reader="tiffslide") as other:
        assert 0.2 < tissue_mask(fast).fraction < 0.8
        assert np.array_equal(tissue_mask(fast).mask, tissue_mask(other).mask)
