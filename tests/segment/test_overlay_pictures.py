"""What an overlay shows, against plain numpy: where outlines lie, how dense nuclei are, and what the legend says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import tifffile
from numpy.typing import NDArray

from tests.segment import fakes
from wsi_nucssl.captions import ColourBar, Item, Scale, Swatch, colours_of
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.geometry import Box
from wsi_nucssl.scale_bar import ScaleBar
from wsi_nucssl.segment.overlay import OverlayStyle, draw_overlay
from wsi_nucssl.slide import RGB, open_slide

RED, BLUE, GREY = (255, 0, 0), (0, 0, 255), (150, 150, 150)
VIRIDIS = colours_of("viridis").astype(float)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """640 × 480 px of 200 at 0.25 µm."""
    return fakes.write_slide(
        tmp_path_factory.mktemp("slide") / "flat.tif", np.full((480, 640, 3), 200, np.uint8)
    )


@pytest.fixture(scope="module")
def unscaled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, and nobody knows its resolution."""
    path = tmp_path_factory.mktemp("unscaled") / "flat.tif"
    flat = np.full((480, 640, 3), 200, np.uint8)
    tifffile.imwrite(path, flat, photometric="rgb", tile=(256, 256), compression="deflate", metadata=None)
    return path


@pytest.fixture
def legend(monkeypatch: pytest.MonkeyPatch) -> list[Item]:
    """What stands below the picture that was drawn last."""
    seen: list[Item] = []

    def captioned(picture: RGB, items: Sequence[Item]) -> RGB:
        seen[:] = items
        return picture

    monkeypatch.setattr("wsi_nucssl.segment.overlay.captioned", captioned)
    return seen


def square(
    x0: float,
    y0: float,
    side: float = 10,
    *,
    name: str = "",
    color: tuple[int, int, int] | None = None,
    **measurements: Any,
) -> dict[str, Any]:
    """A Feature with its upper left corner at (x0, y0)."""
    x1, y1 = x0 + side, y0 + side
    properties: dict[str, Any] = {"measurements": measurements} if measurements else {}
    if name or color:
        properties["classification"] = {"name": name or "some", "color": [*(color or RED)]}
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def written(folder: Path, features: Sequence[dict[str, Any]], **header: Any) -> Path:
    path = folder / "n.geojson"
    ours = {"wsi_nucssl": header} if header else {}
    path.write_text(json.dumps({"type": "FeatureCollection", **ours, "features": [*features]}))
    return path


def drawn(
    slide: Path,
    nuclei: Path,
    region: tuple[int, int, int, int] | None = (0, 0, 64, 48),
    zoom: float = 1.0,
    **style: Any,
) -> NDArray[np.float64]:
    with open_slide(slide) as opened:
        box = None if region is None else Box.parse(region)
        return draw_overlay(opened, nuclei, box, zoom, OverlayStyle(**style)).astype(float)


def middle(line: NDArray[np.float64]) -> float:
    """Where the ink of a line of px lies, from its first px's corner."""
    return float((line * (np.arange(len(line)) + 0.5)).sum() / line.sum())


@pytest.mark.parametrize("zoom", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("origin", [(0, 0), (30, -20)])
def test_outlines_lie_where_the_file_says(
    slide: Path, tmp_path: Path, zoom: float, origin: tuple[int, int]
) -> None:
    """A square from (115, 105) to (139, 129), in a picture from (100, 80) on."""
    nuclei = written(tmp_path, [square(115 - origin[0], 105 - origin[1], 24)], origin_l0=[*origin])
    picture = drawn(slide, nuclei, (100, 80, 64, 72), zoom, color=(0, 0, 0), shape="outlines", plain=True)
    assert picture.shape == (72 * zoom, 64 * zoom, 3)
    ink, x, y = 200 - picture[..., 0], round(27 * zoom), round(37 * zoom)  # its middle
    assert [middle(ink[y, :x]), middle(ink[:y, x])] == pytest.approx([15 * zoom, 25 * zoom], abs=0.1)
    assert x + middle(ink[y, x:]) == pytest.approx(39 * zoom, abs=0.1)
    assert y + middle(ink[y:, x]) == pytest.approx(49 * zoom, abs=0.1)


@pytest.mark.parametrize(("width", "px"), [(0.5, 1), (1, 1), (3, 3), (5.4, 5), (8, 8)])
def test_outlines_are_as_wide_as_is_asked(slide: Path, tmp_path: Path, width: float, px: int) -> None:
    nuclei = written(tmp_path, [square(12, 12, 24)])
    picture = drawn(slide, nuclei, color=(0, 0, 0), width=width, plain=True)
    across = (200 - picture[24, :24, 0]) / 200
    assert px <= across.sum() < px + 2.5  # OpenCV's soft edges come on top


def test_insides_are_mixed_with_the_tissue_and_cover_no_outline(slide: Path, tmp_path: Path) -> None:
    nuclei = written(tmp_path, [square(10, 10, 20, color=RED), square(20, 16, 30, color=BLUE)])
    picture = drawn(slide, nuclei, fill=0.25, plain=True)
    assert picture[26, 14].tolist() == pytest.approx([0.75 * 200 + 0.25 * 255, 150, 150], abs=1)
    assert picture[40, 40].tolist() == pytest.approx([150, 150, 0.75 * 200 + 0.25 * 255], abs=1)
    assert (picture[5] == 200).all()
    full = drawn(slide, nuclei, fill=1.0, width=3, plain=True)
    assert full[40, 40].tolist() == list(BLUE)
    assert full[24, 29].tolist() == list(RED)  # the right side of the first, inside the second


def test_a_hole_stays_open(slide: Path, tmp_path: Path) -> None:
    ring = square(10, 10, 30)
    ring["geometry"]["coordinates"] += square(20, 20, 10)["geometry"]["coordinates"]
    picture = drawn(slide, written(tmp_path, [ring]), fill=1.0, color=(0, 0, 0), plain=True)
    assert (picture[23:27, 23:27] == 200).all()
    assert (picture[13:17, 13:37] == 0).all()


def test_an_outline_that_leaves_what_can_be_drawn_is_left_out(slide: Path, tmp_path: Path) -> None:
    """OpenCV counts in sixteenths of a px, in 32 bits."""
    far = [square(20, 12, side, name=f"{side}") for side in (10**8, 6 * 10**7)]
    pictures = [drawn(slide, written(tmp_path, [each]), plain=True) for each in far]
    assert (pictures[0] == 200).all()
    assert (pictures[1][12, 25:] != 200).any()


@pytest.mark.parametrize("zoom", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("origin", [(0, 0), (3000, -2000)])
def test_nuclei_that_reach_the_picture_are_counted(
    slide: Path, tmp_path: Path, legend: list[Item], origin: tuple[int, int], zoom: float
) -> None:
    """A picture from (100, 80) to (164, 128), and squares of 10 px with a hole on every side of it."""
    touching = [(90, 100), (164, 100), (120, 70), (120, 128), (130, 100)]
    beside = [(89.5, 100), (164.5, 100), (120, 69.5), (120, 128.5)]
    for squares, said in ((touching, ["in (5)"]), (beside, [])):
        features = [square(x - origin[0], y - origin[1], name="in") for x, y in squares]
        for each in features:
            (x, y), *_ = each["geometry"]["coordinates"][0]
            each["geometry"]["coordinates"] += square(x + 2, y + 2, 6)["geometry"]["coordinates"]
        nuclei = written(tmp_path, features, origin_l0=[*origin])
        drawn(slide, nuclei, (100, 80, 64, 48), zoom, shape="outlines")
        assert [item.text for item in legend if isinstance(item, Swatch)] == said


def test_the_legend_names_the_classes_with_most_nuclei_first(
    slide: Path, tmp_path: Path, legend: list[Item]
) -> None:
    counts = {f"class {number}": number for number in range(1, 15)}
    features = [square(20, 20, name=name, color=RED) for name, count in counts.items() for _ in range(count)]
    plain = [square(20, 20)] * 1002
    del plain[0]["properties"]
    drawn(slide, written(tmp_path, features + plain), fill=0.5)
    swatches = [each for each in legend if isinstance(each, Swatch)]
    names = [f"class {number} ({number})" for number in range(14, 3, -1)]
    assert [each.text for each in swatches] == ["Nuclei (1,002)", *names]
    assert {each.colour for each in swatches[1:]} == {RED}
    drawn(slide, written(tmp_path, features), color=BLUE)
    assert {each.colour for each in legend if isinstance(each, Swatch)} == {BLUE}


@pytest.mark.parametrize(
    ("zoom", "width", "px", "text"),
    [
        (1.0, 64, 40, "10 µm"),
        (2.0, 64, 40, "5 µm"),
        (1.0, 500, 80, "20 µm"),
        (0.5, 64, 40, "20 µm"),
        (0.75, 64, 60, "20 µm"),
    ],
)
def test_a_scale_bar_takes_up_to_a_fifth_of_the_line_below(
    slide: Path, tmp_path: Path, legend: list[Item], zoom: float, width: int, px: float, text: str
) -> None:
    drawn(slide, written(tmp_path, [square(20, 20)]), (0, 0, width, 48), zoom)
    assert legend[0] == Scale(ScaleBar(px, text))


@pytest.mark.parametrize(("zoom", "is_far"), [(0.125, False), (0.124, True), (0.5, False), (0.05, True)])
def test_nuclei_that_would_be_smaller_than_3_5_px_are_shown_by_density(
    slide: Path, unscaled: Path, tmp_path: Path, legend: list[Item], zoom: float, is_far: bool
) -> None:
    """A nucleus has 7 µm across; where nobody knows the resolution, 28 px."""
    nuclei = written(tmp_path, [square(20, 20)])
    for each in (slide, unscaled):
        drawn(each, nuclei, None, zoom)
        assert isinstance(legend[1], ColourBar) == is_far
    assert isinstance(legend[0], Scale)
    assert legend[0].bar.text.endswith(" px")


@pytest.mark.parametrize(("side", "zoom"), [(8192, 1.0), (4096, 2.0), (16384, 0.5)])
def test_a_picture_has_at_most_64_mpx(slide: Path, tmp_path: Path, side: int, zoom: float) -> None:
    with pytest.raises(UsageError, match="too large"):
        drawn(slide, tmp_path / "none.geojson", (0, 0, side, side + 1), zoom)
    with pytest.raises(InputError, match=r"none\.geojson"):  # what is looked at next
        drawn(slide, tmp_path / "none.geojson", (0, 0, side, side), zoom)


def coloured(value: float, low: float, high: float) -> list[float]:
    part = min(max((value - low) / (high - low), 0), 1)
    colour: list[float] = VIRIDIS[round(255 * part)].tolist()
    return colour


def test_colours_of_a_measurement_leave_out_the_extreme_hundredth(
    slide: Path, tmp_path: Path, legend: list[Item]
) -> None:
    values = [*range(2000, 2100), 90_000, -90_000]
    chosen = {10: 90_000, 22: -90_000, 34: 2025, 46: 2070}
    features = [square(200, 200, grade=value) for value in values if value not in chosen.values()]
    features += [square(x, 20, grade=value) for x, value in chosen.items()]
    features.append(square(10, 34, other=5))
    picture = drawn(slide, written(tmp_path, features), None, color_by="grade", fill=1.0)
    low, high = np.percentile(values, (1, 99))
    for x, value in chosen.items():
        assert picture[25, x + 5].tolist() == coloured(value, low, high)
    assert picture[39, 15].tolist() == list(GREY)  # without a value
    assert isinstance(legend[1], ColourBar)
    assert (legend[1].low, legend[1].high, legend[1].label) == (f"{low:,.0f}", f"{high:,.0f}", "grade")
    assert legend[1].low == "2,000"


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([5.125], "5.12", "6.12"),
        ([-1000.0], "-1,000", "-999"),
        ([0.00123456, 0.00123456], "0.00123", "1"),
        ([], "0", "1"),
    ],
)
def test_a_colour_bar_has_a_length_whatever_the_values(
    slide: Path, tmp_path: Path, legend: list[Item], values: list[float], low: str, high: str
) -> None:
    nuclei = written(tmp_path, [square(20, 20, solidity=value) for value in values])
    picture = drawn(slide, nuclei, color_by="solidity", fill=1.0)
    assert isinstance(legend[1], ColourBar)
    assert (legend[1].low, legend[1].high, legend[1].label) == (low, high, "solidity")
    assert not values or picture[25, 25].tolist() == VIRIDIS[0].tolist()


def test_measurements_are_read_however_they_are_written(
    slide: Path, tmp_path: Path, legend: list[Item]
) -> None:
    """As QuPath wrote them before 0.3, under the other of their two names; what is no number is no value."""
    listed = square(10, 10)
    listed["properties"]["measurements"] = [{"name": "Area µm^2", "value": 7}, "odd"]
    features = [listed, square(30, 10, area_um2=9.0), square(50, 10, area_um2=True)]
    features[1]["properties"]["measurements"]["Solidity"] = 1
    nuclei = written(tmp_path, features)
    picture = drawn(slide, nuclei, color_by="area_um2", fill=1.0)
    assert picture[15, 15].tolist() == VIRIDIS[0].tolist()
    assert picture[15, 35].tolist() == VIRIDIS[-1].tolist()
    assert picture[15, 55].tolist() == list(GREY)
    assert isinstance(legend[1], ColourBar)
    assert (legend[1].low, legend[1].high, legend[1].label) == ("7.02", "8.98", "area µm²")
    with pytest.raises(InputError, match=r"has the measurement 'depth'.*those that it has: Area µm"):
        drawn(slide, nuclei, color_by="depth")
    with pytest.raises(InputError, match="those that it has: none"):
        drawn(slide, written(tmp_path, [square(10, 10)]), color_by="depth", shape="density")


def by_definition(
    shape: tuple[int, int],
    xy: NDArray[np.float64],
    values: NDArray[np.float64] | None,
    um_per_px: float | None,
) -> tuple[NDArray[np.float64], list[float]]:
    """A flat picture of 200 with density, or with the mean of `values`, in cells of 4 px; low and high of it."""
    rows, cols = (-(-side // 4) for side in shape)
    counts, sums = np.zeros((rows, cols)), np.zeros((rows, cols))
    for (x, y), value in zip(xy, np.zeros(len(xy)) if values is None else values, strict=True):
        if 0 <= x // 4 < cols and 0 <= y // 4 < rows and not np.isnan(value):
            counts[int(y // 4), int(x // 4)] += 1
            sums[int(y // 4), int(x // 4)] += value
    smooth, smooth_sums = (scipy.ndimage.gaussian_filter(each, 2.5) for each in (counts, sums))
    shown = smooth > 0.02 * smooth.max()
    side_mm = 4 * um_per_px / 1000 if um_per_px else 4 / 1000
    shade = smooth / side_mm**2 if values is None else smooth_sums / np.maximum(smooth, 1e-12)
    low, high = np.percentile(shade[shown], (1, 99))
    colours = VIRIDIS[np.rint(255 * np.clip((shade - low) / (high - low), 0, 1)).astype(int)]
    alpha = enlarged(np.clip(12 * smooth / smooth.max(), 0, 0.75), shape)[..., None]
    picture = np.stack([enlarged(colours[..., each], shape) for each in range(3)], axis=2)
    return 200 * (1 - alpha) + picture * alpha, [low, high]


def enlarged(cells: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Four times along each side, linear between the middles of cells."""
    for axis in (0, 1):
        middles = 4 * np.arange(cells.shape[axis]) + 2
        px = np.arange(shape[axis]) + 0.5
        cells = np.apply_along_axis(lambda line, px=px, at=middles: np.interp(px, at, line), axis, cells)
    return cells


@pytest.mark.parametrize("zoom", [1.0, 0.5])
def test_density_against_its_definition(
    slide: Path,
    unscaled: Path,
    tmp_path: Path,
    legend: list[Item],
    zoom: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Crowds that lie across the picture's edges too, in whole numbers of cells and not."""
    rng = np.random.default_rng(3)
    x0, y0, width, height = 90, 70, 212, 148
    xy = np.concatenate([rng.normal(middle, 14, (60, 2)) for middle in ((150, 110), (300, 215), (92, 180))])
    xy = np.rint(4 * xy) / 4
    values = np.where(rng.random(len(xy)) < 0.2, np.nan, rng.normal(50, 9, len(xy)).round(2))
    features = [
        square(x - 1, y - 1, 2, grade=None if np.isnan(value) else float(value))
        for (x, y), value in zip(xy, values, strict=True)
    ]
    nuclei = written(tmp_path, features)
    monkeypatch.setattr("wsi_nucssl.segment.drawable._AT_A_TIME", 7)
    shape = (round((y0 + height) * zoom) - round(y0 * zoom), round((x0 + width) * zoom) - round(x0 * zoom))
    placed = xy * zoom - [round(x0 * zoom), round(y0 * zoom)]
    for each, um_per_px, label in (
        (slide, 0.25 / zoom, "nuclei per mm²"),
        (unscaled, None, "nuclei per 1000 × 1000 px"),
    ):
        expected, ends = by_definition(shape, placed, None, um_per_px)
        picture = drawn(each, nuclei, (x0, y0, width, height), zoom, shape="density")
        assert np.abs(picture - expected).max() < 2
        assert isinstance(legend[1], ColourBar)
        assert (legend[1].low, legend[1].high) == tuple(f"{end:,.0f}" for end in ends)
        assert legend[1].label == label
        expected, ends = by_definition(shape, placed, values, um_per_px)
        picture = drawn(each, nuclei, (x0, y0, width, height), zoom, shape="density", color_by="grade")
        assert np.abs(picture - expected).max() < 2
        assert isinstance(legend[1], ColourBar)
        assert (legend[1].low, legend[1].high) == tuple(f"{end:.3g}" for end in ends)
        assert legend[1].label == "mean grade"


def test_density_of_nothing_is_the_tissue(slide: Path, tmp_path: Path, legend: list[Item]) -> None:
    picture = drawn(slide, written(tmp_path, [square(300, 300)]), shape="density")
    assert (picture == 200).all()
    assert isinstance(legend[1], ColourBar)
    assert (legend[1].low, legend[1].high) == ("0", "1")


def test_a_place_or_slide_that_the_file_states_wrongly_is_refused(slide: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="origin_l0 is no place"):
        drawn(slide, written(tmp_path, [square(10, 10)], origin_l0="here"))
    with pytest.raises(InputError, match=r"those of another slide, and not of flat\.tif"):
        drawn(slide, written(tmp_path, [square(10, 10)], slide="0" * 64))
