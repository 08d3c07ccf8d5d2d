"""What a run holds: no more on a larger slide, and no more than it is told."""

from __future__ import annotations

import re
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.segment.large_slide import peak_of
from wsi_nucssl.errors import SlideError, UsageError
from wsi_nucssl.geometry import Box
from wsi_nucssl.memory import parse_bytes
from wsi_nucssl.nuclei.seams import extract_nuclei
from wsi_nucssl.nuclei.settings import InstanceConfig, Probabilities
from wsi_nucssl.segment.memory import Views, view_bytes
from wsi_nucssl.segment.options import SegmentOptions

CORE = 256
"""Small windows, so that there are many on a slide that takes seconds."""

_DIFFERENCE_MIB = 64
"""What is loaded differs by up to 40 MiB from process to process, and what is refused was reckoned in another one."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from Linux")


def segment(sample: Path, output: Path, *more: object) -> tuple[object, ...]:
    return "segment", sample, "-o", output, *more


def test_the_peak_does_not_grow_with_the_slide(sample: Path, tmp_path: Path) -> None:
    """36 windows and 400 of them."""
    small, large = (
        peak_of(side, *segment(sample, tmp_path / f"{side}.geojson"), core=CORE) for side in (1536, 5120)
    )
    assert (small.exit_code, large.exit_code) == (0, 0), small.said + large.said
    assert large.peak_mib <= 1.2 * small.peak_mib


@pytest.mark.slow
def test_the_peak_does_not_grow_with_the_slide_in_windows_of_full_size(sample: Path, tmp_path: Path) -> None:
    small, large = (peak_of(side, *segment(sample, tmp_path / f"{side}.geojson")) for side in (8192, 24576))
    assert (small.exit_code, large.exit_code) == (0, 0), small.said + large.said
    assert large.peak_mib <= 1.3 * small.peak_mib


def test_a_bound_is_kept_and_too_little_is_refused_with_what_is_needed(sample: Path, tmp_path: Path) -> None:
    free = peak_of(6144, *segment(sample, tmp_path / "free.geojson", "--workers", 16))
    output = tmp_path / "bound.geojson"
    refused = peak_of(6144, *segment(sample, output, "--workers", 16, "--memory", "100M"))
    assert refused.exit_code == 2
    assert not output.exists()
    assert not output.with_name("bound.geojson.run").exists()
    found = re.search(
        r"--memory 100M is too little: \d+M are needed.*Give at least (\d+)M", refused.said, re.DOTALL
    )
    assert found is not None, refused.said
    bound = int(found[1]) + _DIFFERENCE_MIB
    assert bound < free.peak_mib, found[0]
    kept = peak_of(6144, *segment(sample, output, "--workers", 16, "--memory", f"{bound}M"))
    assert kept.exit_code == 0, kept.said
    assert kept.peak_mib <= bound
    assert output.read_bytes() == (tmp_path / "free.geojson").read_bytes()


def test_a_views_memory_grows_with_its_planes_and_covers_what_extraction_takes() -> None:
    box, config = Box(0, 0, 700, 500), InstanceConfig()
    assert view_bytes(box, 5) - view_bytes(box, 3) == 2 * box.size.area
    planes = np.zeros((3, 500, 700), np.uint8)
    planes[0, ::20, ::20] = 255
    extract_nuclei(planes, config)
    tracemalloc.start()
    extract_nuclei(planes.copy(), config)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.5 * view_bytes(box, 3) < taken < view_bytes(box, 3)


def nothing(box: Box) -> Probabilities:
    return np.zeros((3, *box.size.shape_rc), np.uint8)


def test_a_view_that_does_not_fit_into_the_bound_is_an_error_that_says_what_does() -> None:
    small, large = Box(0, 0, 1000, 1000), Box(0, 0, 5000, 5000)
    bound = 500 << 20
    views = Views(view_bytes(small, 3), 3, bound)
    with views.reader(nothing) as read:
        assert read(small).shape == (3, 1000, 1000)
        with pytest.raises(SlideError, match="5000 × 5000 px") as error:
            read(large)
    assert error.value.remedy is not None
    enough = parse_bytes("memory", error.value.remedy.split()[-1])
    needed = bound + view_bytes(large, 3) - view_bytes(small, 3)  # and a sixteenth of the bound is left alone
    assert needed <= enough - enough // 16 < needed + 2**20


def test_without_a_bound_a_large_view_is_read_alone() -> None:
    views = Views(view_bytes(Box(0, 0, 100, 100), 3), 3)
    with views.reader(nothing) as read:
        assert read(Box(0, 0, 2000, 2000)).shape == (3, 2000, 2000)


@pytest.mark.parametrize("memory", [0, -1, 1.5, "4G"])
def test_options_take_bytes(memory: object) -> None:
    with pytest.raises(UsageError, match="memory"):
        SegmentOptions(memory=memory)  # type: ignore[arg-type]
