"""Random scenes as three-class probabilities, drawn by hypothesis: the objects that break seams."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from wsi_nucssl.nuclei.settings import InstanceConfig


def perfect(body: NDArray[np.bool_], nucleus: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Certain (3, row, col) probabilities from two masks; hematoxylin varies from pixel to pixel."""
    rows, cols = np.indices(body.shape)
    return np.stack([body * 255, (nucleus & ~body) * 255, (rows * 7 + cols * 13) % 256]).astype(np.uint8)


@st.composite
def scenes(draw: st.DrawFn) -> NDArray[np.uint8]:
    """Probabilities (3, row, col): discs, rings, snakes, giants, with boundary bands, some under noise."""
    height, width = draw(st.integers(8, 90)), draw(st.integers(8, 90))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    body = np.zeros((height, width), np.uint8)
    boundary = np.zeros((height, width), np.uint8)
    for _ in range(draw(st.integers(0, 14))):
        _paint(body, boundary, rng, draw(st.sampled_from(["disc", "ring", "snake", "giant", "speck"])))
    noise = draw(st.sampled_from([0, 0, 30, 90, 255]))
    scene = np.stack([body, boundary, rng.integers(0, 256, body.shape)]).astype(np.int64)
    scene[:2] += rng.integers(-noise, noise + 1, scene[:2].shape)
    scene = scene.clip(0, 255)
    scene[1] = np.minimum(scene[1], 255 - scene[0])
    return scene.astype(np.uint8)


@st.composite
def typed_scenes(draw: st.DrawFn) -> NDArray[np.uint8]:
    """`scenes` with planes of one to four types, (3 + T, row, col): smooth, noisy, or or of few values that tie."""
    scene = draw(scenes())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 4)), *scene.shape[1:])
    coarse = draw(st.sampled_from([1, 1, 64, 255]))
    types = (rng.integers(0, 256, shape) // coarse * coarse).astype(np.uint8)
    if draw(st.booleans()):
        types = np.stack([cv2.blur(plane, (9, 9)) for plane in types])
    return np.concatenate([scene[:2], types, scene[2:]])


@st.composite
def crowds(draw: st.DrawFn) -> NDArray[np.uint8]:
    """Probabilities (3, row, col): thin markers here and there, competing for foreground that has few gaps."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    body = np.zeros((50, 50), bool)
    longest = draw(st.integers(1, 12))
    for _ in range(draw(st.integers(10, 60))):
        row, col, length = (
            rng.integers(0, 50),
            rng.integers(0, 50),
            rng.integers((longest + 1) // 2, longest + 1),
        )
        if rng.random() < 0.5:
            body[row : row + length, col] = True
        else:
            body[row, col : col + length] = True
    return perfect(body, body | (rng.random(body.shape) < draw(st.sampled_from([1.0, 0.95]))))


def _paint(body: NDArray[np.uint8], boundary: NDArray[np.uint8], rng: np.random.Generator, kind: str) -> None:
    height, width = body.shape
    centre = (int(rng.integers(-3, width + 3)), int(rng.integers(-3, height + 3)))
    shape = np.zeros_like(body)
    if kind == "snake":
        points = np.stack([rng.integers(0, width, 6), rng.integers(0, height, 6)], axis=1).astype(np.int32)
        cv2.polylines(shape, [points], bool(rng.integers(2)), 1, int(rng.integers(1, 8)))
    else:
        largest = {"disc": 9, "ring": 14, "giant": 40, "speck": 2}[kind]
        axes = (int(rng.integers(1, largest + 1)), int(rng.integers(1, largest + 1)))
        filled = -1 if kind != "ring" else int(rng.integers(1, 5))
        cv2.ellipse(shape, centre, axes, float(rng.integers(180)), 0, 360, 1, filled)
    band = int(rng.integers(0, 3))
    inner = cv2.erode(shape, np.ones((2 * band + 1, 2 * band + 1), np.uint8)) if band else shape
    body[shape > 0] = 0
    boundary[shape > 0] = 255
    body[inner > 0] = 255
    boundary[inner > 0] = 0


configs = st.builds(
    InstanceConfig,
    body=st.sampled_from([0.3, 0.5, 0.8]),
    foreground=st.sampled_from([0.2, 0.5, 0.9]),
    regrow_px=st.integers(0, 5),
    min_marker_px=st.integers(0, 9),
    min_area_px=st.integers(0, 20),
)
