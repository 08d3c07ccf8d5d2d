"""Which tiles are proposed for annotation, against plain loops over px and distances."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wsi_nucssl.geometry import Box, Size
from wsi_nucssl.nuclei.settings import Probabilities
from wsi_nucssl.segment.proposals import candidates, proposals, spread
from wsi_nucssl.slide import RGB, TissueMask


def on_grid(size: Size, side: int, mask: NDArray[np.bool_], count: int, seed: int = 0) -> list[Box]:
    """Candidates on a canvas of 2 level-0 px per px, of a mask of 8."""
    canvas: Any = SimpleNamespace(
        box=Box(0, 0, size.width, size.height),
        to_level0=lambda box: Box(2 * box.x0, 2 * box.y0, 2 * box.x1, 2 * box.y1),
    )
    return candidates(canvas, TissueMask(mask, 8.0, None), side, count, seed)


def test_candidates_are_the_whole_tiles_of_which_half_is_tissue() -> None:
    """Tiles of 12 × 12 px are 3 × 3 px of the mask; what is left over at two sides is no tile."""
    mask = np.zeros((8, 11), np.bool_)
    mask[0:3, 0:2] = True  # two thirds of the first
    mask[0, 3:6] = True  # a third of the second
    mask[3:6, 6:9] = True  # all of the third in the second row
    mask[3:6, 9:] = mask[6:] = True  # in tiles that are cut
    assert on_grid(Size(44, 32), 12, mask, 9) == [Box(0, 0, 12, 12), Box(24, 12, 36, 24)]
    half = np.zeros((2, 4), np.bool_)
    half[0, :] = True
    assert on_grid(Size(16, 8), 8, half, 9) == [Box(0, 0, 8, 8), Box(8, 0, 16, 8)]
    assert on_grid(Size(15, 7), 8, half, 9) == []


@pytest.mark.parametrize(("count", "looked_at"), [(1, 8), (5, 40), (6, 48), (7, 48)])
def test_of_many_candidates_eight_for_each_tile_are_drawn(count: int, looked_at: int) -> None:
    mask = np.ones((6, 8), np.bool_)
    every = on_grid(Size(32, 24), 4, mask, 100)
    assert len(every) == 48
    drawn = on_grid(Size(32, 24), 4, mask, count)
    assert len(drawn) == looked_at
    places = [every.index(box) for box in drawn]
    assert places == sorted(set(places))
    assert drawn == on_grid(Size(32, 24), 4, mask, count)
    if looked_at < 48:
        assert drawn != on_grid(Size(32, 24), 4, mask, count, seed=1)


def by_loops(features: list[list[float]], uncertainties: list[float], count: int) -> list[int]:
    """The most uncertain; then each time what lies farthest from all chosen, half as far where it is surest."""
    number, columns = len(features), []
    for column in zip(*features, strict=True):
        mean = sum(column) / number
        deviation = math.sqrt(sum((value - mean) ** 2 for value in column) / number)
        columns.append([(value - mean) / (deviation or 1) for value in column])
    points = list(zip(*columns, strict=True))
    rank = {row: place for place, row in enumerate(sorted(range(number), key=uncertainties.__getitem__))}
    weight = [0.5 + 0.5 * rank[row] / (number - 1) for row in range(number)]
    chosen = [max(range(number), key=uncertainties.__getitem__)]
    while len(chosen) < min(count, number):
        left = [row for row in range(number) if row not in chosen]
        chosen.append(
            max(left, key=lambda row: weight[row] * min(math.dist(points[row], points[it]) for it in chosen))
        )
    return chosen


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), st.integers(2, 14), st.integers(1, 4), st.integers(1, 16))
def test_spread_against_plain_loops(seed: int, rows: int, columns: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(5, 3, (rows, columns)) * 10.0 ** rng.integers(-2, 3, columns)
    features[:, 0] = features[0, 0] if columns > 1 else features[:, 0]  # one that tells nothing apart
    uncertainties = rng.random(rows)
    assert spread(features, uncertainties, count) == by_loops(
        features.tolist(), uncertainties.tolist(), count
    )


def test_one_tile_is_proposed_where_there_is_one() -> None:
    assert spread(np.ones((1, 3)), np.zeros(1), 4) == [0]


class Tiles:
    """A canvas of noise, each tile of its own colours, and planes of a network that is unsure in its own way."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.seen: dict[Box, tuple[RGB, Probabilities]] = {}

    def read(self, box: Box) -> RGB:
        low, width = self.rng.integers(0, 150, 3), self.rng.integers(2, 105, 3)
        image = (low + self.rng.random((*box.size.shape_rc, 3)) * width).astype(np.uint8)
        body, boundary = (self.rng.integers(0, self.rng.integers(3, 128), box.size.shape_rc) for _ in "bb")
        planes = np.stack([body, boundary, np.full_like(body, 99)]).astype(np.uint8)
        self.seen[box] = image, planes
        return image

    def predict(self, box: Box, image: RGB) -> Probabilities:
        assert image is self.seen[box][0]
        return self.seen[box][1]


def told_by(image: RGB, planes: Probabilities) -> tuple[list[float], float]:
    """Optical density and its spread by channel, share of px that are nucleus, and the entropy of those that may be."""
    densities = [[-math.log((int(px[each]) + 1) / 256) for row in image for px in row] for each in range(3)]
    means = [sum(each) / len(each) for each in densities]
    spreads = [
        math.sqrt(sum((value - mean) ** 2 for value in each) / len(each))
        for each, mean in zip(densities, means, strict=True)
    ]
    sums = [int(one) + int(other) for one, other in zip(planes[0].flat, planes[1].flat, strict=True)]
    bits = []
    for part in (each / 255 for each in sums if each / 255 >= 0.02):
        sure = min(max(part, 1e-6), 1 - 1e-6)
        bits.append(-(sure * math.log2(sure) + (1 - sure) * math.log2(1 - sure)))
    uncertainty = sum(bits) / len(bits) if bits else 0.0
    crowding = sum(each >= 127.5 for each in sums) / len(sums)
    return [*means, *spreads, crowding, uncertainty], uncertainty


@pytest.mark.parametrize("seed", range(4))
def test_tiles_are_told_apart_by_colour_texture_crowding_and_doubt(seed: int) -> None:
    tiles = Tiles(seed)
    boxes = [Box(9 * each, 0, 9 * each + 9, 7) for each in range(12)]
    found = proposals(tiles, boxes, tiles.predict, 12)  # type: ignore[arg-type]
    told = [told_by(*tiles.seen[box]) for box in boxes]
    order = by_loops([features for features, _ in told], [bits for _, bits in told], 12)
    assert [each.box for each in found] == [boxes[place] for place in order]
    assert [each.uncertainty for each in found] == pytest.approx([told[place][1] for place in order])


@pytest.mark.parametrize(("byte", "is_asked"), [(5, False), (6, True)])
def test_px_of_less_than_2_percent_are_not_asked(byte: int, is_asked: bool) -> None:
    flat: Any = SimpleNamespace(read=lambda box: np.full((*box.size.shape_rc, 3), 200, np.uint8))
    planes = np.zeros((3, 8, 8), np.uint8)
    planes[0] = byte
    (found,) = proposals(flat, [Box(0, 0, 8, 8)], lambda *_: planes, 1)
    assert (found.uncertainty > 0) == is_asked
