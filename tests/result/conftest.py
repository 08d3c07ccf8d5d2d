"""A result of a few hundred nuclei, holes included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.segment import fakes
from wsi_nucssl.result import Result
from wsi_nucssl.segment.region import segment
from wsi_nucssl.slide import open_slide

SLIDE = Path(__file__).parent.parent.parent / "sample_slides" / "sample.svs"


@pytest.fixture(scope="session")
def sample() -> Path:
    """The slide that comes with the project."""
    return SLIDE


@pytest.fixture(scope="session")
def result() -> Result:
    """A region of the sample slide."""
    return segment(SLIDE, model=fakes.model(), engine=fakes.DarkIsNucleus(), region=(600, 500, 700, 600))


@pytest.fixture(scope="session")
def holed() -> Result:
    """An image with a nucleus inside the hole of another."""
    with open_slide(SLIDE) as slide:
        image = np.full_like(slide.read((0, 0, 200, 200)), 230)
    rows, cols = np.mgrid[:200, :200]
    distance = np.hypot(rows - 100, cols - 100)
    image[(distance > 40) & (distance < 60)] = 60
    image[distance < 20] = 60
    return segment(image, mpp=0.5, model=fakes.model(), engine=fakes.DarkIsNucleus())
