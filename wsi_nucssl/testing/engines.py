"""What segmenting relies on, whichever the engine.

from wsi_nucssl.testing.engines import EngineTests

class TestMyEngine(EngineTests):
    @pytest.fixture
    def engine(self):
        return open_mine(load_model("liteunet0x2-nuclei"), "cpu")
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from wsi_nucssl.engines.base import BodyBoundary, Engine, Windows


def make_windows(count: int = 2, rows: int = 192, cols: int = 256) -> Windows:
    """Windows with dark discs of several sizes on a noisy ground; uint8 (count, rows, cols, 3)."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:rows, :cols]
    image = np.full((count, rows, cols, 3), (225.0, 180.0, 210.0))
    for window in image:
        for _ in range(rows * cols // 1200):
            row, col, radius = rng.integers(0, rows), rng.integers(0, cols), rng.integers(5, 14)
            window[(y - row) ** 2 + (x - col) ** 2 < radius**2] = (90, 60, 140)
    return np.clip(image + rng.normal(0, 10, image.shape), 0, 255).astype(np.uint8)


class EngineTests:
    """To be inherited; give the fixture `engine`."""

    @pytest.fixture
    def windows(self) -> Windows:
        """Two windows that are no squares."""
        return make_windows()

    def test_bytes_of_the_shape_that_was_promised(self, engine: Engine, windows: Windows) -> None:
        """Body and boundary share a pixel with the background, so that they are 255 together at most, rounded."""
        predicted = engine.predict(windows)
        count, rows, cols, _ = windows.shape
        assert predicted.dtype == np.uint8
        assert predicted.shape == (count, 2, rows * engine.upscale, cols * engine.upscale)
        assert predicted.astype(int).sum(axis=1).max() <= 256

    def test_the_same_bytes_from_every_thread_and_every_time(self, engine: Engine, windows: Windows) -> None:
        """As many threads as there are streams; a result is the caller's own."""
        first = engine.predict(windows)
        before = first.copy()
        with ThreadPoolExecutor(engine.streams) as pool:
            for again in pool.map(engine.predict, [windows] * 6):
                assert again.tobytes() == before.tobytes()
        assert first.tobytes() == before.tobytes()

    def test_other_shapes_come_and_go(self, engine: Engine, windows: Windows) -> None:
        """Any multiple of 32 px, a window alone too."""
        whole = engine.predict(windows)
        for rows, cols in ((64, 64), (96, 64), (192, 224)):
            predicted: BodyBoundary = engine.predict(windows[:1, :rows, :cols].copy())
            assert predicted.shape == (1, 2, rows * engine.upscale, cols * engine.upscale)
        assert engine.predict(windows).tobytes() == whole.tobytes()

    def test_the_input_is_left_alone(self, engine: Engine, windows: Windows) -> None:
        """Windows are shared with what measures the stain."""
        before = windows.copy()
        engine.predict(windows)
        assert windows.tobytes() == before.tobytes()

    def test_its_identity_is_one_line_that_stays(self, engine: Engine) -> None:
        """The name is part of a run's identity."""
        assert engine.name == engine.name.strip() != ""
        assert "\n" not in engine.name
        assert engine.streams >= 1
        assert engine.batch_px >= 0
        assert engine.upscale >= 1
