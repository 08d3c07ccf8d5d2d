"""Slides to segment and a short way to segment them with the engine double."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from sample_slides.truth import read_truth
from tests.segment import fakes
from wsi_nucssl.geometry import Box
from wsi_nucssl.models.weights import Model
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.run import Steps, segment_slide
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.slide import RGB, open_slide

_SLIDES = Path(__file__).parent.parent.parent / "sample_slides"


@pytest.fixture(scope="session")
def sample() -> Path:
    """The slide that comes with the project, 3000 × 2400 px at 0.25 µm per px."""
    return _SLIDES / "sample.svs"


@pytest.fixture(scope="session")
def truth() -> list[Any]:
    """Its nuclei: closed outlines, float64 (n, 2) of level-0 (x, y)."""
    return read_truth(_SLIDES / "sample_truth.geojson.gz")


@pytest.fixture(scope="session")
def tissue(sample: Path) -> RGB:
    """1100 × 900 px of the sample slide, without glass around."""
    with open_slide(sample) as slide:
        return slide.read_level(0, Box(500, 500, 1600, 1400))


@pytest.fixture(scope="session")
def double_model() -> Model:
    """A model whose own network is never asked."""
    return fakes.model()


@pytest.fixture(scope="session", params=["resunet18", "liteunet0x2"])
def either_model(request: pytest.FixtureRequest) -> Model:
    """The same, once answering at the mpp that it sees, and once at half of it."""
    return fakes.model(request.param)


@pytest.fixture
def segment(double_model: Model) -> Callable[..., SegmentSummary]:
    """`segment_slide` with the double of the model's upscale; options by keyword."""

    def run(
        slide: Path,
        output: Path | Iterable[Path],
        *,
        resume: bool = False,
        overwrite: bool = False,
        model: Model = double_model,
        steps: Steps | None = None,
        **options: Any,
    ) -> SegmentSummary:
        return segment_slide(
            slide,
            output,
            model,
            SegmentOptions(**options),
            resume=resume,
            overwrite=overwrite,
            engine=fakes.DarkIsNucleus(upscale=model.info.upscale),
            steps=steps,
        )

    return run
