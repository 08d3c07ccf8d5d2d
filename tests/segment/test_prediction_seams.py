"""Windows that see other surroundings predict otherwise: blended, it does not show where they meet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.pictures import read_rgb
from tests.segment.fakes import DarkIsNucleus
from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.geometry import Mpp, Point, Size
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.nuclei.seams import extract_nuclei
from wsi_nucssl.segment.images import predict_image
from wsi_nucssl.segment.seam_figure import SeamFigure
from wsi_nucssl.segment.windows import BLEND, CORE, MARGIN, WindowGrid
from wsi_nucssl.slide import RGB, Canvas, open_slide


@dataclass(frozen=True, slots=True)
class Moody(DarkIsNucleus):
    """A double whose certainty differs from window to window, by what they hold."""

    def predict(self, windows: Windows) -> BodyBoundary:
        sure = DarkIsNucleus.predict(self, windows).astype(np.float32)
        mood = np.array([0.7 + 0.3 * (int(window.sum()) % 7) / 3 for window in windows], np.float32)
        moody: BodyBoundary = np.clip(sure * mood[:, None, None, None], 0, 255).astype(np.uint8)
        return moody


def step_at_seams(plane: NDArray[np.uint8], core: int) -> float:
    """Mean step from px to px across the lines at multiples of `core`, over that across all other lines."""
    on, elsewhere = [], []
    for axis in (0, 1):
        step = np.abs(np.diff(plane.astype(int), axis=axis)).mean(axis=1 - axis)
        seams = np.arange(core - 1, len(step), core)
        on.append(step[seams])
        elsewhere.append(np.delete(step, seams))
    return float(np.concatenate(on).mean() / np.concatenate(elsewhere).mean())


@pytest.mark.parametrize("upscale", [1, 2])
def test_moods_show_at_seams_until_they_are_blended(tissue: RGB, upscale: int) -> None:
    extent = Size(tissue.shape[1], tissue.shape[0])
    steps = {}
    for blend in (0, BLEND):
        grid = WindowGrid(extent, Size(128, 128), 32, upscale=upscale, blend=blend)
        steps[blend] = step_at_seams(predict_image(Moody(upscale=upscale), tissue, grid)[0], 128)
    assert steps[0] > 1.25
    assert steps[BLEND] < 1.05


def assembled(monuseg: Path) -> RGB:
    """Eight training images of 1000 px, two rows of four: the picture changes 24, 48 and 72 px before the seams."""
    images = [read_rgb(path) for path in sorted((monuseg / "images").glob("*.webp"))[:8]]
    return np.ascontiguousarray(np.vstack([np.hstack(images[:4]), np.hstack(images[4:])]))


def whole(slide_path: Path, mpp: float) -> RGB:
    """A whole slide at that mpp."""
    with open_slide(slide_path) as slide:
        canvas = Canvas(slide, Mpp.square(mpp))
        return canvas.read(canvas.box)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["monuseg", "cmu_slide"])
def test_outlines_do_not_run_along_seams(source: str, request: pytest.FixtureRequest) -> None:
    """Predicted twice, with windows moved by half a window: no more than along the same lines where none meet."""
    model = load_model(DEFAULT_MODEL)
    engine = open_engine(model, "cpu")
    path = request.getfixturevalue(source)
    image = assembled(path) if source == "monuseg" else whole(path, model.info.mpp)
    extent = Size(image.shape[1], image.shape[0])
    here, there = (
        WindowGrid(extent, Size(CORE, CORE), MARGIN, Point(offset, offset), engine.upscale, BLEND)
        for offset in (0, CORE // 2)
    )
    one, other = (
        extract_nuclei(predict_image(engine, image, grid), model.info.instances) for grid in (here, there)
    )
    on_seams = SeamFigure.of(one, here) + SeamFigure.of(other, there)
    same_lines = SeamFigure.of(other, here) + SeamFigure.of(one, there)
    print(f"on seams {on_seams}, on the same lines {same_lines}")
    assert same_lines.on_seams_px > 200
    assert on_seams.on_seams_px < 1.1 * same_lines.on_seams_px
    assert on_seams.ratio < 1.1
