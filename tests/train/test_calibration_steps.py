"""Calibration finds each setting to the step, on maps for which one setting alone is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.train.calibrate import Calibration, Predicted, calibrate, score

Planes = NDArray[np.uint8]


def squares(*sides: tuple[int, int], gap: int = 16) -> list[tuple[slice, slice]]:
    """Rectangles (rows, cols) side by side."""
    return [
        (slice(4, 4 + height), slice(4 + gap * number, 4 + gap * number + width))
        for number, (height, width) in enumerate(sides)
    ]


def empty(count: int, gap: int = 16) -> tuple[Planes, NDArray[np.int32]]:
    return np.zeros((3, 24, gap * count + 4), np.uint8), np.zeros((24, gap * count + 4), np.int32)


def found(planes: Planes, labels: NDArray[np.int32], start: InstanceConfig) -> Calibration:
    return calibrate({"one": [Predicted("0", planes, labels)]}, start)


@pytest.mark.parametrize("body", [0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7])
def test_the_threshold_of_bodies_is_found_to_a_twentieth(body: float) -> None:
    """Nuclei are just above it; what is none is above the step before it."""
    planes, labels = empty(4)
    byte = int(np.ceil(body * 255))
    for number, (place, value) in enumerate(zip(squares(*[(9, 9)] * 4), (0, 0, -9, -9), strict=True)):
        planes[0][place] = byte + value
        planes[1][place] = 255 - byte  # enough for any foreground
        labels[place] = number + 1 if value == 0 else 0
    best = found(planes, labels, InstanceConfig(body=0.2))
    assert best.config.body == body
    assert best.mean_aji == 1


@pytest.mark.parametrize("foreground", [0.35, 0.4, 0.45, 0.5, 0.55, 0.6])
def test_the_threshold_of_the_foreground_is_found_to_a_twentieth(foreground: float) -> None:
    """A nucleus is regrown over its rim, and not over a fainter one around it."""
    planes, labels = empty(1, gap=40)
    byte = int(np.ceil(foreground * 255))
    for reach, value in ((7, byte - 9), (5, byte)):
        planes[1][12 - reach : 12 + reach, 20 - reach : 20 + reach] = value
    planes[:2, 9:15, 17:23] = np.array([255, 0], np.uint8)[:, None, None]
    labels[7:17, 15:25] = 1
    best = found(planes, labels, InstanceConfig(foreground=0.2, regrow_px=20))
    assert best.config.foreground == foreground
    assert best.mean_aji == 1


@pytest.mark.parametrize("px", [2, 3, 4, 5, 6])
def test_the_regrowth_is_found_to_the_px(px: int) -> None:
    """The rim is thicker than what annotators drew, which is what so many steps to four sides reach."""
    planes, labels = empty(1, gap=40)
    planes[1] = 255
    planes[:2, 11:14, 19:24] = np.array([255, 0], np.uint8)[:, None, None]
    reached = planes[0] > 0
    for _ in range(px):
        wider = reached.copy()
        wider[1:] |= reached[:-1]
        wider[:-1] |= reached[1:]
        wider[:, 1:] |= reached[:, :-1]
        wider[:, :-1] |= reached[:, 1:]
        reached = wider
    labels[reached] = 1
    best = found(planes, labels, InstanceConfig(regrow_px=0))
    assert best.config.regrow_px == px
    assert best.mean_aji == 1


@pytest.mark.parametrize("marker", [(2, 2), (2, 5), (4, 5), (5, 8)])
def test_the_smallest_marker_is_found_to_the_px(marker: tuple[int, int]) -> None:
    """Nuclei and what is none are regrown to the same size; a px of the marker tells them apart."""
    planes, labels = empty(4)
    for number, place in enumerate(squares(*[(10, 10)] * 4)):
        planes[1][place] = 255
        core = place[0].start + 3, place[1].start + 1
        inside = slice(core[0], core[0] + marker[0]), slice(core[1], core[1] + marker[1])
        planes[:2, inside[0], inside[1]] = np.array([255, 0], np.uint8)[:, None, None]
        if number % 2:  # one px less
            planes[:2, core[0], core[1]] = (0, 255)
        else:
            labels[place] = number + 1
    best = found(planes, labels, InstanceConfig(regrow_px=20, min_marker_px=0, min_area_px=0))
    assert best.config.min_marker_px == marker[0] * marker[1]
    assert best.mean_aji == 1


@pytest.mark.parametrize("area", [(4, 4), (5, 6), (6, 10), (8, 10)])
def test_the_smallest_nucleus_is_found_to_the_px(area: tuple[int, int]) -> None:
    """No marker is regrown: sizes alone tell nuclei from what is none."""
    planes, labels = empty(4)
    for number, place in enumerate(squares(*[area] * 4)):
        planes[0][place] = 255
        if number % 2:
            planes[0, place[0].start, place[1].start] = 0
        else:
            labels[place] = number + 1
    best = found(planes, labels, InstanceConfig(min_marker_px=0, min_area_px=0))
    assert best.config.min_area_px == area[0] * area[1]
    assert best.mean_aji == 1


def test_a_score_is_the_mean_over_sources_of_their_means() -> None:
    planes, labels = empty(2)
    for number, place in enumerate(squares((8, 8), (8, 8))):
        planes[0][place] = 255
        labels[place] = number + 1
    right, half = (
        Predicted("a", planes, labels),
        Predicted("b", planes, np.where(labels == 1, 1, 0).astype(np.int32)),
    )
    scored = score({"x": [right, right, half], "y": [replace(half, id="c")]}, InstanceConfig())
    assert scored.aji == {"x": {"a": 1.0, "b": 0.5}, "y": {"c": 0.5}}
    assert scored.means == {"x": 0.75, "y": 0.5}
    assert scored.mean_aji == 0.625
